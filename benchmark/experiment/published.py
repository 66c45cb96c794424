"""What a paper published, to hold a label of a reproduction against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from benchmark.errors import UsageError, unknown
from benchmark.experiment.trial import Strict

if TYPE_CHECKING:
    from benchmark.experiment.study import Study


class Published(Strict):
    """A paper's numbers for one label, where they were found, and how well that was verified.

    `weights` is the share of the dense network's weights, without biases and norms, that are left and not zero.
    """

    error: Annotated[float, Field(gt=0, lt=100)]
    """On the test set, in per cent."""
    weights: Annotated[float, Field(gt=0, le=1)]
    """Left and not zero, as a share of the dense network's, without biases and norms."""
    left: str = ""
    """The architecture that is left, as the paper writes it; empty: as it was."""
    source: Annotated[str, Field(min_length=1)]
    """Paper and table."""
    verified: Literal["read", "quoted", "unverified"]
    """Whether the numbers were read in the source itself, in another paper's table, or not seen."""
    control: str | None = None
    """The label of the dense network that it was made from."""
    note: str = ""
    """How the recipe here differs from the paper's, and what is known of a difference in results."""


def check_compares(study: Study) -> None:
    """Raises UsageError for a study that reproduces: its methods do not share a budget."""
    if study.kind == "reproduction":
        raise UsageError(
            f"study {study.name!r} reproduces published numbers, each under its own paper's recipe: it compares no "
            "methods; `deadweight reproduce` shows it"
        )


def problems_of_reproduction(study: Study) -> Iterator[str]:
    """What keeps a study from being the comparison, or the reproduction, that it says it is: each in one line."""
    if study.kind == "comparison":
        for label, table in study.methods.items():
            if table.keys() & {"task", "protocol"}:
                yield (
                    f"[methods.{label}] changes task or protocol, which all methods share; see conditions, or, for "
                    'published numbers run again, kind = "reproduction"'
                )
        if study.published:
            yield 'it has published numbers; only kind = "reproduction" is held against them'
        if study.protocol.watch_test:
            yield 'watch_test looks at the test set at every epoch, which only kind = "reproduction" may'
        return
    if study.tuning is not None or study.conditions is not None or study.sampler != "grid" or len(study.tasks) > 1:
        yield "a reproduction has one task, and neither conditions, tuning nor a sampler"
    for label, numbers in study.published.items():
        for name in (label, numbers.control or label):
            if name not in study.methods:
                yield f"[published.{label}]: {unknown('label', name, study.methods)}"
    for label, table in study.methods.items():
        if not all(isinstance(table.get(kind, {}), dict) for kind in ("task", "protocol")):
            yield f"[methods.{label}]: task and protocol are tables of what they change"

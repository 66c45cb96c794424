"""Tuning by one rule: equally many candidates for every method, tried with a seed that no result uses.

What a tuned study runs is three plain studies, one after the other: the candidates of the bases, the candidates of all
others on the bases chosen, and the evaluation. Each follows from the study and from what was chosen, and from nothing
else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from benchmark.errors import UsageError
from benchmark.experiment.trial import Seed, Strict
from benchmark.method.registry import get_method

if TYPE_CHECKING:
    from benchmark.experiment.study import Study

CONTROL = "dense"  # the label whose accuracy every score is measured against
AS_IT_CAME = "checkpoint"  # the method that has nothing to tune
BASES, OTHERS, EVALUATION = "bases", "others", "evaluation"  # the stages
SHAPE = "left"  # the hyperparameter that takes a network's shape: the channels left in each group, joined by "-"
Table = dict[str, Any]


class Tuning(Strict):
    """The seed that candidates are tried with, and by label what each candidate changes of the label's table."""

    seed: Seed
    """That candidates are tried with; none of the study's seeds."""
    candidates: dict[str, Annotated[list[Table], Field(min_length=1)]]
    """By label what each candidate sets."""


def candidate_label(label: str, candidate: int) -> str:
    """What the candidates' study calls a label's candidate, counted from 1."""
    return f"{label} ⟨{candidate}⟩"


def is_candidate(label: str) -> bool:
    """Whether a record's label is that of a candidate."""
    return re.search(r" ⟨\d+⟩$", label) is not None


def base_labels(study: Study) -> list[str]:
    """The labels that are tuned first: the control, and those whose network another label's method starts from."""
    needed = {CONTROL}
    for label in study.methods:
        base = get_method(study.method_name(label)).base
        if base is not None and base != study.method_name(label):
            needed.add(base)
    return [x for x in study.methods if x in needed and x in (CONTROL, study.method_name(x))]


def bases(study: Study) -> Study:
    """The candidates of the bases, with the tuning seed."""
    return _plain(study, _candidates(study, base_labels(study)))


def others(study: Study, choice: dict[str, Table]) -> Study:
    """The candidates of all other labels, with the tuning seed, on the bases whose values `choice` gives by label.

    The chosen bases are among its trials: they have been run as candidates.
    """
    first = base_labels(study)
    chosen = {label: _table(study, label, choice[label]) for label in first}
    return _plain(study, chosen | _candidates(study, [label for label in study.methods if label not in first]))


def evaluation(study: Study, choice: dict[str, Table], shapes: dict[str, list[Table]]) -> Study:
    """Every label with the values of its chosen candidate, with the study's seeds.

    `shapes` gives the points of the labels that follow another.
    """
    tables = {label: _table(study, label, choice[label]) for label in study.methods}
    for label, points in shapes.items():
        tables[label].pop(str(get_method(study.method_name(label)).knob), None)
        tables[label]["points"] = points
    return study.plain(tables, study.seeds)


def sizes(study: Study) -> dict[str, int]:
    """The number of trials of each stage, known before anything is chosen: at most, where a label follows another.

    Raises UsageError where a candidate is not valid, or sweeps another number of points than its label.
    """
    assert study.tuning is not None
    first = {label: candidates[0] for label, candidates in study.tuning.candidates.items()}
    tried = {BASES: bases(study), OTHERS: others(study, first)}
    for stage in tried.values():
        stage.trials()
    points = {label: len(study.points(label)) for label in study.methods}
    for label, candidates in study.tuning.candidates.items():
        stage = tried[BASES if label in base_labels(study) else OTHERS]
        for i in range(1, len(candidates) + 1):
            count = len(stage.points(candidate_label(label, i)))
            if count != points[label]:
                raise UsageError(
                    f"study {study.name!r}: candidate {i} of {label!r} has {count} points for its knob, "
                    f"[methods.{label}] {points[label]}"
                )
    for label in following(study):
        if SHAPE not in get_method(study.method_name(label)).space:
            raise UsageError(f"study {study.name!r}: [methods.{label}] follows, but its method takes no shape")
    return {name: stage.size for name, stage in tried.items()} | {EVALUATION: study.size}


def following(study: Study) -> dict[str, str]:
    """By label the label whose shapes it is evaluated at."""
    return {label: str(table["follows"]) for label, table in study.methods.items() if "follows" in table}


def _plain(study: Study, tables: dict[str, Table]) -> Study:
    assert study.tuning is not None
    return study.plain(tables, [study.tuning.seed])


def _candidates(study: Study, labels: Iterable[str]) -> dict[str, Table]:
    assert study.tuning is not None
    return {
        candidate_label(label, i): {"method": study.method_name(label), **_table(study, label, values)}
        for label in labels
        for i, values in enumerate(study.tuning.candidates[label], start=1)
    }


def _table(study: Study, label: str, values: Table) -> Table:
    return {key: value for key, value in study.methods[label].items() if key != "follows"} | values

"""Which of a study's trials have a record, and which do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from benchmark.errors import some
from benchmark.experiment.outlines import Outline
from benchmark.experiment.record import FINISHED, Record
from benchmark.experiment.study import Slot, Study
from benchmark.experiment.trial import Trial
from benchmark.method.registry import get_method

R = TypeVar("R", Outline, Record, Outline | Record)


def own_records(study: Study, records: Sequence[R]) -> list[R]:
    """The records of the study's own trials, or their outlines, under its own labels."""
    if study.sampler != "optuna":
        labels = study.labels()
        return [_under(labels[r.key], r) for r in records if r.key in labels]
    left = Counter(dict.fromkeys(study.slots(), study.samples or 0))
    own: list[R] = []
    for record in records:
        assert isinstance(record, Record)  # of samples an outline says too little
        slot = Slot(label=record.label, task=record.task, seed=record.seed)
        if left[slot] > 0 and _fits(study, record):
            left[slot] -= 1
            own.append(record)
    return own


def remaining(study: Study, records: Sequence[Outline | Record], retry_failed: bool) -> list[Trial | Slot]:
    """What is still to run: trials without a record, or for the sampler `optuna` a slot for each missing sample.

    With `retry_failed` a record that is no result counts as none.
    """
    if study.sampler != "optuna":
        keys = {r.key for r in records if not retry_failed or r.status in FINISHED}
        return [trial for trial in study.trials() if not keys or trial.key not in keys]
    study.trials()
    own = own_records(study, [r for r in records if isinstance(r, Record)])
    done = (r for r in own if not retry_failed or r.status in FINISHED)
    had = Counter(Slot(label=r.label, task=r.task, seed=r.seed) for r in done)
    slots = study.slots()
    return [slot for i in range(study.samples or 0) for slot in slots if had[slot] <= i]


def unfinished(study: Study, records: list[Record]) -> str:
    """A sentence that says which trials the study's own records lack; empty if none."""
    had = Counter(record.label for record in records)
    lacking = {label: count - had[label] for label, count in study.planned().items() if count > had[label]}
    if not lacking:
        return ""
    most = sorted(lacking, key=lambda label: lacking[label], reverse=True)
    names = some(f"{study.legend(label)} {lacking[label]}" for label in most)
    return f" Unfinished: {sum(lacking.values())} of {study.size} trials have no record yet ({names})."


def _under(label: str, record: R) -> R:
    if record.label == label:
        return record
    return record._replace(label=label) if isinstance(record, Outline) else record.model_copy(update={"label": label})


def _fits(study: Study, record: Record) -> bool:
    """Whether a sample under one of the study's labels is of its method as it is now, protocol and fixed values too."""
    name, fixed, _ = study.table(record.label)
    method, setting = get_method(name), record.setting
    return (
        (setting.method, setting.version) == (name, method.version)
        and record.base == study.base(setting, record.task)
        and record.protocol == study.protocol
        and record.fine_tune == study.fine_tune(record.label)
        and all(setting.hyperparameters.get(key, method.space[key].default) == value for key, value in fixed.items())
    )

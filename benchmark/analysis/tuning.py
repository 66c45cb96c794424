"""What tuning chose: by the validation accuracy of the records on the tuning seed, and by nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from benchmark.analysis.pareto import hypervolume
from benchmark.errors import UsageError
from benchmark.experiment.coverage import own_records, remaining
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.experiment.tuning import (
    BASES,
    CONTROL,
    EVALUATION,
    OTHERS,
    SHAPE,
    base_labels,
    bases,
    candidate_label,
    evaluation,
    following,
    others,
    sizes,
)
from benchmark.method.registry import get_method

ALLOWED = 0.02  # accuracy below the best dense candidate's from which hypervolume counts
Tried = dict[str, list[Record]]  # by label of a candidate its measured records


@dataclass(frozen=True)
class Score:
    """One candidate of a label, counted from 1, and what it changes of the label's table.

    `score`: for a base and for a label without a knob the best validation accuracy, else the hypervolume of the whole
    knob sweep, parameters removed × validation accuracy, as a share of what lies above the floor. `accuracy`: the best
    validation accuracy. Both are means over tasks, on which a candidate without a result has 0.
    """

    label: str
    candidate: int
    values: dict[str, Any]
    score: float
    accuracy: float
    chosen: bool


class _Progress(NamedTuple):
    known: dict[str, Study]
    scores: list[Score]
    lacking: str  # why the next stage is not known yet, in words


def stages(study: Study, records: list[Record]) -> dict[str, Study]:
    """The plain studies that are known so far, by name and in order: each once the one before has all its records.

    A study without tuning is its own only stage. Raises UsageError where a candidate is not valid.
    """
    return _progress(study, records).known if study.tuning else {EVALUATION: study}


def resolved(study: Study, records: list[Record]) -> Study:
    """The study as it is evaluated: with what tuning chose. Raises UsageError where tuning is unfinished."""
    if study.tuning is None:
        return study
    progress = _progress(study, records)
    if progress.lacking:
        raise UsageError(f"study {study.name!r} is not tuned yet: {progress.lacking}")
    return progress.known[EVALUATION]


def scores(study: Study, records: list[Record]) -> list[Score]:
    """The candidates of every label that is tuned, in the study's order; none without tuning."""
    place = {label: i for i, label in enumerate(study.methods)}
    found = _progress(study, records).scores if study.tuning else []
    return sorted(found, key=lambda score: (place[score.label], score.candidate))


def chosen(study: Study, records: list[Record]) -> dict[str, Score]:
    """By label the candidate that was chosen."""
    return {score.label: score for score in scores(study, records) if score.chosen}


def tuning_records(study: Study, records: list[Record]) -> list[Record]:
    """The records that the choice is made of: those of the candidates, in the stages that are known."""
    if study.tuning is None:
        return []
    known = stages(study, records)
    keys = {trial.key for name, stage in known.items() if name != EVALUATION for trial in stage.trials()}
    return [record for record in records if record.key in keys]


def _progress(study: Study, records: list[Record]) -> _Progress:
    """How far tuning is. Raises UsageError where a candidate is not valid."""
    sizes(study)
    first = bases(study)
    known = {BASES: first}
    if lacking := _lacking(BASES, first, records):
        return _Progress(known, [], lacking)
    tried = _tried(first, records)
    floors = _floors(study, tried)
    if len(floors) < len(study.tasks):
        return _Progress(known, [], f"no candidate of {CONTROL!r} has a result; `deadweight run --retry-failed`")
    found = [score for label in base_labels(study) for score in _judged(study, label, tried, None)]
    known[OTHERS] = second = others(study, _choice(found))
    if lacking := _lacking(OTHERS, second, records):
        return _Progress(known, found, lacking)
    tried |= _tried(second, records)
    for label in study.methods:
        if label not in base_labels(study):
            has_knob = get_method(study.method_name(label)).knob is not None
            found += _judged(study, label, tried, floors if has_knob else None)
    shapes = {label: _shapes(study, label, other, found, tried) for label, other in following(study).items()}
    if empty := [label for label, points in shapes.items() if not points]:
        return _Progress(
            known, found, f"nothing that {empty[0]!r} follows has a result; `deadweight run --retry-failed`"
        )
    known[EVALUATION] = evaluation(study, _choice(found), shapes)
    return _Progress(known, found, "")


def _lacking(name: str, stage: Study, records: list[Record]) -> str:
    left = len(remaining(stage, records, retry_failed=False))
    return f"{left} of {stage.size} trials of the stage {name} have no record; `deadweight run` goes on" if left else ""


def _tried(stage: Study, records: list[Record]) -> Tried:
    tried: Tried = defaultdict(list)
    for record in own_records(stage, records):
        if record.measured:
            tried[record.label].append(record)
    return tried


def _floors(study: Study, tried: Tried) -> dict[str, float]:
    """By task the accuracy from which hypervolume counts; a task without a result of the control has none."""
    assert study.tuning is not None
    count = len(study.tuning.candidates[CONTROL])
    dense = [r for i in range(1, count + 1) for r in tried.get(candidate_label(CONTROL, i), [])]
    return {task: _best(own) - ALLOWED for task, own in _by_task(study, dense).items() if own}


def _judged(study: Study, label: str, tried: Tried, floors: dict[str, float] | None) -> list[Score]:
    """The candidates of a label: the best score is chosen, of equal ones the more accurate, then the earlier."""
    assert study.tuning is not None
    made = []
    for i, values in enumerate(study.tuning.candidates[label], start=1):
        tasks = _by_task(study, tried.get(candidate_label(label, i), []))
        accuracy = _mean(_best(own) for own in tasks.values())
        score = accuracy if floors is None else _mean(_swept(own, floors[task]) for task, own in tasks.items())
        made.append(Score(label, i, values, score, accuracy, chosen=False))
    best = max(made, key=lambda score: (score.score, score.accuracy, -score.candidate))
    return [replace(score, chosen=score is best) for score in made]


def _swept(records: list[Record], floor: float) -> float:
    points = np.array([(r.param_sparsity, r.val_accuracy) for r in records], dtype=float).reshape(-1, 2)
    return hypervolume(points[:, 0], points[:, 1], floor)


def _by_task(study: Study, records: list[Record]) -> dict[str, list[Record]]:
    return {task.name: [r for r in records if r.task.name == task.name] for task in study.tasks}


def _best(records: list[Record]) -> float:
    return max((r.val_accuracy or 0.0 for r in records), default=0.0)


def _mean(values: Iterable[float]) -> float:
    every = list(values)
    return sum(every) / len(every)


def _choice(found: list[Score]) -> dict[str, dict[str, Any]]:
    """By label the values of the chosen candidate."""
    return {score.label: score.values for score in found if score.chosen}


def _shapes(study: Study, label: str, other: str, found: list[Score], tried: Tried) -> list[dict[str, Any]]:
    """The points of a label that follows another: the shapes that the other's chosen candidate ended with."""
    knob = str(get_method(study.method_name(label)).knob)
    (place,) = (score.candidate for score in found if score.label == other and score.chosen)
    shapes = set()
    for record in tried.get(candidate_label(other, place), []):
        left = record.channels_left.values()
        removed = round(1 - sum(left) / (record.channels or 1), 4)
        shapes.add((removed, "-".join(map(str, left))))
    return [{knob: removed, SHAPE: left} for removed, left in sorted(shapes)]

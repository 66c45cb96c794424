"""What changed between two sets of records of one study: trials, results, and regressions beyond the seeds' noise."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from benchmark.analysis.intervals import LEVEL, Interval, mean_interval
from benchmark.analysis.pairs import DIGITS, holm, paired_t, resolution
from benchmark.experiment.record import Record

MEASURES = ("test_accuracy", "param_sparsity")
DETERMINED = (
    "status",
    "val_accuracy",
    "test_accuracy",
    "stage_accuracy",
    "channels_left",
    "params",
    "macs",
    "param_sparsity",
    "weight_sparsity",
)


@dataclass(frozen=True)
class Pair:
    """One trial before and after."""

    before: Record
    after: Record

    @property
    def same_key(self) -> bool:
        return self.before.key == self.after.key

    @property
    def identical(self) -> bool:
        """Whether everything that a trial determines is the same."""
        return all(getattr(self.before, name) == getattr(self.after, name) for name in DETERMINED)

    @property
    def measured(self) -> bool:
        return self.before.measured and self.after.measured

    @property
    def lost_result(self) -> bool:
        return self.before.measured and not self.after.measured

    def difference(self, measure: str) -> float:
        """After − before, of two trials with results."""
        return float(round(getattr(self.after, measure) - getattr(self.before, measure), DIGITS))


@dataclass(frozen=True)
class Match:
    """The trials of two sets of records: in both, in the first only, in the second only.

    `unrun` are those of the first whose seed the second has nothing of: it was not run.
    """

    pairs: list[Pair]
    lost: list[Record]
    new: list[Record]
    unrun: list[Record]


@dataclass(frozen=True)
class Change:
    """What differs at one knob point, by measure: the mean difference over seeds with its t interval, and p."""

    task: str
    label: str
    knob: float | str | None
    differs: bool  # whether any of its trials gave another result
    differences: dict[str, Interval]
    p_holm: dict[str, float]  # NaN where nothing differs or fewer than two seeds are paired

    @property
    def tested(self) -> bool:
        return not np.isnan(list(self.p_holm.values())).any()

    @property
    def regressions(self) -> list[str]:
        """The measures that are lower by more than noise, at 95 % over all that is tested together."""
        return [name for name in MEASURES if self.differences[name].mean < 0 and self.p_holm[name] < LEVEL]


def match(before: list[Record], after: list[Record]) -> Match:
    """Pairs records by key, and those left by task, label, knob and seed, where these name one record on each side."""
    keys = {r.key: r for r in after}
    pairs = [Pair(r, keys[r.key]) for r in before if r.key in keys]
    known = {pair.before.key for pair in pairs}
    left, right = ([r for r in records if r.key not in known] for records in (before, after))
    ours, theirs = _by_place(left), _by_place(right)
    moved = [Pair(ours[place], theirs[place]) for place in ours if place in theirs]
    paired = {key for pair in moved for key in (pair.before.key, pair.after.key)}
    gone, new = ([r for r in records if r.key not in paired] for records in (left, right))
    run = {r.seed for r in after}
    lost, unrun = ([r for r in gone if (r.seed in run) == known] for known in (True, False))
    return Match(pairs + moved, lost, new, unrun)


def _by_place(records: list[Record]) -> dict[tuple[str, str, float | str | None, int], Record]:
    """The records that are alone at their task, label, knob and seed."""
    places = defaultdict(list)
    for r in records:
        places[(*_point(r), r.seed)].append(r)
    return {place: found[0] for place, found in places.items() if len(found) == 1}


def _point(r: Record) -> tuple[str, str, float | str | None]:
    return r.task.name, r.label, r.knob_value


def rekeyed(pair: Pair) -> str:
    """Why the two records of a pair have different keys, for example `version 1 → 2`."""
    before, after = (_contents(r) for r in (pair.before, pair.after))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}" for name in names)


def _contents(r: Record) -> dict[str, object]:
    """What the key is made of, by the name that a reader knows it by."""
    flat = {"schema": r.schema_version, "method": r.setting.method, "version": r.setting.version}
    flat |= r.setting.hyperparameters | r.task.model_dump() | r.protocol.model_dump()
    if r.base is not None:
        base = {"method": r.base.method, "version": r.base.version, **r.base.hyperparameters}
        flat |= {f"base {name}": value for name, value in base.items()}
    return flat


def changes(pairs: list[Pair]) -> list[Change]:
    """The difference of every measure at every knob point; Holm's correction is over the points that differ at all."""
    points = defaultdict(list)
    for pair in pairs:
        if pair.measured:
            points[_point(pair.before)].append(pair)
    steps = _steps(pairs)
    differs = {point: not all(pair.identical for pair in group) for point, group in points.items()}
    values = {
        (point, name): np.array([pair.difference(name) for pair in group])
        for point, group in points.items()
        for name in MEASURES
    }
    p = [
        paired_t(found, steps[point[0], name]) if differs[point] else np.nan for (point, name), found in values.items()
    ]
    p_holm = dict(zip(values, holm(p), strict=True))
    return [
        Change(
            *point,
            differs[point],
            {name: mean_interval(values[point, name]) for name in MEASURES},
            {name: p_holm[point, name] for name in MEASURES},
        )
        for point in points
    ]


def _steps(pairs: list[Pair]) -> dict[tuple[str, str], float]:
    """The step in which each measure moves on each task: networks and test sets differ in size."""
    tasks: dict[str, list[Record]] = defaultdict(list)
    for pair in pairs:
        if pair.measured:
            tasks[pair.before.task.name] += [pair.before, pair.after]
    return {(task, name): step(name, records) for task, records in tasks.items() for name in MEASURES}


def step(measure: str, records: list[Record]) -> float:
    """The step in which a measure moves: a channel's share, or the smallest gap between two accuracies seen."""
    if measure == "param_sparsity":
        return max((1 / r.channels for r in records if r.channels), default=0.0)
    return resolution([getattr(r, measure) for r in records])

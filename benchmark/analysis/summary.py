"""The summary of a study: a row per task and method."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmark.analysis.frame import CHECKPOINT, CONTROL, CONTROLS, SPARSITY, best, controls, ranked
from benchmark.analysis.intervals import RULE, Interval, spread
from benchmark.analysis.pareto import hypervolume, largest_drop, on_front, slope
from benchmark.experiment.record import MEASURED

TOLERANCES = (1.0, 2.0)  # accuracy points below the dense control
FLOOR = 0.02  # below dense's accuracy, where a hypervolume begins
HANDICAP = 0.003  # below dense's accuracy, beyond which a method's weakest point says that it lacks something else
MARK = " (handicapped)"
NEEDED = (
    "task",
    "label",
    "title",
    "status",
    "seed",
    "knob_name",
    "knob",
    "hyperparameters",
    "val_accuracy",
    "test_accuracy",
    SPARSITY,
)
NOTHING = Interval(np.nan, np.nan, np.nan, 0)
NOTE = (
    "All but hypervolume in %. best accuracy: on test, of the point that validates best. within d: the largest share "
    "of parameters removed by a point that validates at most d points below dense, 0 if none does; on test: that "
    "point's test accuracy minus dense's. hypervolume: share of the rectangle from sparsity 0 to 1 and from a floor, "
    "dense's test accuracy − 2 points{floors}, to 1 that lies under the front, 0 for a seed without a result. largest "
    "drop: test accuracy lost from one knob point to the next. slope: test accuracy lost per 10 points removed, by "
    "least squares. "
    "Both over the knob points within the range that all methods of a task but the controls span{ranges}; –: fewer "
    f"than two there. {RULE}"
)
HANDICAPPED = (
    f" handicapped: the weakest knob point validates more than {100 * HANDICAP:g} points below dense, so something "
    "else than sparsity costs accuracy."
)


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """One row per task and method: what it reaches, over seeds.

    Each seed is a whole replicate: its points are chosen by its own validation accuracy, and shown at test.
    """
    rows = []
    for task, tried in ranked(marked(records[[*NEEDED]])).groupby("task", sort=False):
        dense, ends = controls(tried), shared_range(tried)
        for label, group in tried.groupby("label", sort=False):
            names = {"task": task, "method": group.title.iloc[0], "seeds": tried.seed.nunique()}
            rows.append({**names, **_counts(group), **_row(group, dense, ends, is_dense=label == CONTROL)})
    return pd.DataFrame(rows)


def note(records: pd.DataFrame) -> str:
    """What a summary of these records needs to be read, with the floor and the shared range of every task."""
    tasks = {str(task): group for task, group in records.groupby("task", sort=False)}
    floors = {task: _percent(floor(group)) for task, group in tasks.items()}
    ranges = {task: _range(*shared_range(group)) for task, group in tasks.items()}
    text = NOTE.format(floors=_by_task(floors), ranges=_by_task(ranges))
    return text + (HANDICAPPED if handicapped(records) else "")


def _by_task(values: dict[str, str]) -> str:
    return f" ({'; '.join(f'{task}: {value}' for task, value in values.items())})"


def _range(low: float, high: float) -> str:
    return "none" if not low <= high else f"{_percent(low)} to {_percent(high)}"


def _percent(value: float) -> str:
    return "none" if np.isnan(value) else f"{100 * value:.1f}"


def floor(records: pd.DataFrame) -> float:
    """The test accuracy from which one task's hypervolumes count: dense's mean over seeds − 2 points, NaN without."""
    return float(controls(records).test_accuracy.mean()) - FLOOR


def shared_range(records: pd.DataFrame) -> tuple[float, float]:
    """The sparsities that all methods of one task span, the controls aside; NaN without a method.

    From the largest of what their weakest knob points remove to the smallest of what their strongest do, in the mean
    over seeds.
    """
    points = _knob_points(records[~records.label.isin((*CONTROLS, CHECKPOINT))]).groupby("label")
    return float(points.min().max()), float(points.max().min())


def _knob_points(records: pd.DataFrame) -> pd.Series:
    """The mean sparsity over seeds of every label's settings with a result."""
    return records[records.status.isin(MEASURED)].groupby(["label", "hyperparameters"])[SPARSITY].mean()


def marked(records: pd.DataFrame) -> pd.DataFrame:
    """The records, with titles that say where their method is handicapped."""
    weak = pd.MultiIndex.from_frame(records[["task", "label"]]).isin(handicapped(records))
    return records.assign(title=records.title.where(~weak, records.title + MARK))


def handicapped(records: pd.DataFrame) -> list[tuple[str, str]]:
    """The tasks and labels, controls aside, of which the weakest of several knob points validates far below dense.

    Validation accuracies are means over seeds; how far is too far: HANDICAP.
    """
    measured = records[records.status.isin(MEASURED)]
    least = controls(records).groupby("task").val_accuracy.mean() - HANDICAP
    columns = measured[~measured.label.isin(CONTROLS)].groupby(["task", "label", "hyperparameters"], sort=False)
    found = []
    for place, points in columns[[SPARSITY, "val_accuracy"]].mean().groupby(level=["task", "label"], sort=False):
        task, label = map(str, place)
        weakest = points.val_accuracy.iloc[int(points[SPARSITY].argmin())]
        if len(points) > 1 and weakest < least.get(task, np.nan) - 1e-12:
            found.append((task, label))
    return found


def _counts(group: pd.DataFrame) -> dict[str, int]:
    failed = int((~group.status.isin(MEASURED)).sum())
    return {"trials": len(group), "failed": failed, "collapsed": int((group.status == "collapsed").sum())}


def _row(group: pd.DataFrame, dense: pd.DataFrame, ends: tuple[float, float], is_dense: bool) -> dict[str, Interval]:
    tried = [seed for _, seed in group.groupby("seed")]
    seeds = [seed[seed.status.isin(MEASURED)] for seed in tried]
    row = {"best accuracy": spread([_best(seed) for seed in seeds if len(seed)])}
    for points in TOLERANCES:
        share = test = NOTHING
        if len(dense) and not is_dense:
            share, test = _within(seeds, dense, points / 100)
        row |= {f"within {points:g}": share, f"within {points:g}, on test": test}
    compared = len(dense) and not is_dense
    floor = dense.test_accuracy.mean() - FLOOR
    row["hypervolume"] = spread([seed_hypervolume(seed, floor) for seed in seeds]) if compared else NOTHING
    inside = [] if is_dense else list(_inside(group, tried, ends))
    row["largest drop"] = spread([largest_drop(seed.knob, seed.test_accuracy) for seed in inside])
    slopes = [slope(seed[SPARSITY], seed.test_accuracy) / 10 for seed in inside]
    row["slope"] = spread(slopes, least=-np.inf, most=np.inf)
    return row


def drops(records: pd.DataFrame) -> pd.DataFrame:
    """The largest drop of one task's methods within the range that they share, as label, seed and drop."""
    ends, found = shared_range(records), []
    for label, group in records[records.label != CONTROL].groupby("label", sort=False):
        for seed in _inside(group, [own for _, own in group.groupby("seed")], ends):
            if len(seed):
                found.append((label, int(seed.seed.iloc[0]), largest_drop(seed.knob, seed.test_accuracy)))
    return pd.DataFrame(found, columns=["label", "seed", "drop"])


def _best(seed: pd.DataFrame) -> float:
    """The test accuracy of the point that validates best."""
    return float(best(seed).test_accuracy)


def _within(seeds: list[pd.DataFrame], dense: pd.DataFrame, points: float) -> tuple[Interval, Interval]:
    """The largest share removed by a point that validates at most so far below dense, and its test minus dense's."""
    least, reference = dense.val_accuracy.mean() - points, dense.test_accuracy.mean()
    found = [seed_within(seed, least) for seed in seeds]
    return spread([share for share, _ in found]), spread([test - reference for _, test in found], least=-1.0)


def _inside(group: pd.DataFrame, seeds: list[pd.DataFrame], ends: tuple[float, float]) -> Iterator[pd.DataFrame]:
    """Each seed's trials at the knob points within a range; none where other hyperparameters change with the knob."""
    name = group.knob_name.iloc[0]
    others = {json.dumps({**json.loads(text), name: None}) for text in set(group.hyperparameters)}
    means = _knob_points(group).droplevel("label")
    inside = set(means.index[means.between(*ends)])
    if len(others) == 1:
        yield from (seed[seed.hyperparameters.isin(inside)] for seed in seeds)


def seed_hypervolume(seed: pd.DataFrame, floor: float) -> float:
    """The hypervolume above a floor of the front that a seed's results choose on validation, at test; 0 without one."""
    front = seed[on_front(seed[SPARSITY], seed.val_accuracy)]
    return hypervolume(front[SPARSITY], front.test_accuracy, floor)


def seed_within(seed: pd.DataFrame, least: float) -> tuple[float, float]:
    """The largest share removed by a seed's result that validates at least so well, and its test; 0 and NaN if none."""
    sparsity, accuracy, rank = (seed[name].to_numpy() for name in (SPARSITY, "test_accuracy", "rank"))
    near = np.flatnonzero(seed.val_accuracy.to_numpy() >= least - 1e-12)
    if not len(near):
        return 0.0, np.nan
    largest = near[np.lexsort((rank[near], -sparsity[near]))[0]]
    return float(sparsity[largest]), float(accuracy[largest])

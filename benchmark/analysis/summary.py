"""The summary of a study: a row per task and method."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from benchmark.analysis.frame import CONTROL, SPARSITY, controls
from benchmark.analysis.intervals import Interval, mean_interval
from benchmark.analysis.pareto import hypervolume, largest_drop, on_front
from benchmark.experiment.record import MEASURED

TOLERANCES = (0.5, 1.0, 2.0)  # accuracy points below the dense control
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
    "seconds",
)
NOTHING = Interval(np.nan, np.nan, np.nan, 0)
NOTE = (
    "All but hypervolume and cost in %. best accuracy: on test, of the point that validates best. within d: the "
    "largest share of parameters removed by a point that validates at most d points below dense, 0 if none does. "
    "hypervolume: share of the sparsity × test accuracy square under the front, 0 for a seed without a result. largest "
    "drop: test accuracy lost from one knob point to the next. cost: median training time over dense's. ± is the 95 % "
    "t interval over seeds, (n) their number where it is not all."
)


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """One row per task and method: what it reaches, with 95 % t intervals over seeds.

    Each seed is a whole replicate: its points are chosen by its own validation accuracy, and shown at test.
    """
    rows = []
    for task, tried in records[[*NEEDED]].groupby("task", sort=False):
        dense = controls(tried)
        for label, group in tried.groupby("label", sort=False):
            names = {"task": task, "method": group.title.iloc[0], "seeds": tried.seed.nunique()}
            rows.append({**names, **_row(group, dense, is_control=label == CONTROL)})
    return pd.DataFrame(rows)


def _row(group: pd.DataFrame, dense: pd.DataFrame, is_control: bool) -> dict[str, float | Interval]:
    measured = group[group.status.isin(MEASURED)]
    tried = [seed for _, seed in group.groupby("seed")]
    seeds = [seed[seed.status.isin(MEASURED)] for seed in tried]
    row: dict[str, float | Interval] = {"trials": len(group), "failed": len(group) - len(measured)}
    row["collapsed"] = int((group.status == "collapsed").sum())
    row["best accuracy"] = mean_interval([_best(seed) for seed in seeds if len(seed)])
    for points in TOLERANCES:
        row[f"within {points:g}"] = NOTHING
        if len(dense) and not is_control:
            least = dense.val_accuracy.mean() - points / 100
            row[f"within {points:g}"] = mean_interval([_within(seed, least) for seed in seeds])
    row["hypervolume"] = NOTHING if is_control else mean_interval([seed_hypervolume(seed) for seed in seeds])
    row["largest drop"] = NOTHING if is_control else mean_interval([_drop(seed) for seed in tried])
    row["cost"] = measured.seconds.median() / dense.seconds.median() if len(dense) else np.nan
    return row


def _best(seed: pd.DataFrame) -> float:
    """The test accuracy of the point that validates best, the smaller network where several do."""
    best = seed.sort_values(["val_accuracy", SPARSITY], ascending=False, kind="stable")
    return float(best.test_accuracy.iloc[0])


def _within(seed: pd.DataFrame, least: float) -> float:
    """The largest sparsity of a point that validates at `least` or better; 0 if none does, for dense is one."""
    return float(max([0.0, *seed[SPARSITY][seed.val_accuracy >= least - 1e-12]]))


def _drop(seed: pd.DataFrame) -> float:
    """The largest drop along the knob; NaN where other hyperparameters change with it or a point has no result."""
    name = seed.knob_name.iloc[0]
    others = {json.dumps({**json.loads(text), name: None}) for text in set(seed.hyperparameters)}
    return largest_drop(seed.knob, seed.test_accuracy) if len(others) == 1 else np.nan


def seed_hypervolume(seed: pd.DataFrame) -> float:
    """The hypervolume of the front that a seed's results choose on validation, at test; 0 without a result."""
    front = seed[on_front(seed[SPARSITY], seed.val_accuracy)]
    return hypervolume(front[SPARSITY], front.test_accuracy, floor=0.0)

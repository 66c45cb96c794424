"""The marks of a Pareto figure: trials, and the corners of what their fronts attain, with the records behind each."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmark.analysis.frame import CONTROL
from benchmark.analysis.pareto import attainment, on_front
from benchmark.experiment.record import MEASURED


def collect_marks(records: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Every mark of one task's figure, x and y in %. `key` is a trial's record, of a corner those that it comes from.

    Half of the seeds is half of the task's, those included in which a method has no result. A corner's records are the
    points of the seeds' fronts that attain it with nothing to spare on an axis: its x is the smallest of theirs, and so
    is its y. The fronts are chosen on validation and drawn on test.
    """
    measured = records[records.status.isin(MEASURED)]
    points = measured[["label", "title", "seed", "hyperparameters", "status", "key"]].assign(
        mark="trial", x=100 * measured[kind], y=100 * measured.test_accuracy
    )
    found = [
        (names, mark, surface, [" ".join(keys) for keys in _sources(front, kind, surface)])
        for *names, front, mark, surface in _surfaces(measured, kind, records.seed.nunique())
    ]
    parts = [_corners(*names, mark, surface).assign(key=keys) for names, mark, surface, keys in found]
    return pd.concat([points, *parts], ignore_index=True)


def collect_corners(records: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The corners of `collect_marks` alone, without their records: quick where there are very many."""
    measured = records[records.status.isin(MEASURED) & records[kind].notna()]
    found = _surfaces(measured, kind, records.seed.nunique())
    parts = [_corners(*names, mark, surface) for *names, _, mark, surface in found]
    return pd.concat(parts, ignore_index=True) if parts else _corners("", "", "", np.empty((0, 2)))


def _surfaces(
    measured: pd.DataFrame, kind: str, seeds: int
) -> Iterator[tuple[str, str, pd.DataFrame, str, np.ndarray]]:
    """By method but the control's and mark: label, title, the seeds' fronts, the mark and its surface."""
    needed = ["label", "title", "seed", "key", "val_accuracy", "test_accuracy", kind]
    methods = measured.loc[measured.label != CONTROL, needed].groupby(["label", "title"], sort=False)
    for (label, title), group in methods:
        front = pd.concat([seed[on_front(seed[kind], seed.val_accuracy)] for _, seed in group.groupby("seed")])
        for mark, least in {"all": seeds, "half": math.ceil(seeds / 2), "one": 1}.items():
            surface = attainment(front[kind], front.test_accuracy, front.seed, least)
            yield label, title, front, f"attained by {mark}", surface


def _corners(label: str, title: str, mark: str, surface: np.ndarray) -> pd.DataFrame:
    columns = {"label": label, "title": title, "mark": mark}
    return pd.DataFrame({**columns, "x": 100 * surface[:, 0], "y": 100 * surface[:, 1]})


def _sources(front: pd.DataFrame, kind: str, surface: np.ndarray) -> Iterator[np.ndarray]:
    x, y, keys = (front[column].to_numpy() for column in (kind, "test_accuracy", "key"))
    for sparsity, accuracy in surface:
        yield keys[(x >= sparsity) & (y >= accuracy) & ((x == sparsity) | (y == accuracy))]

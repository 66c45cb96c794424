"""The marks of a Pareto figure: trials, and the corners of what their fronts attain, with the records behind each."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.pareto import attainment, on_front
from benchmark.tables import CONTROL, MEASURED


def collect_marks(records: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Every mark of one task's figure, x and y in %. `key` is a trial's record, of a corner those that it comes from.

    A corner's records are the points of the seeds' fronts that attain it with nothing to spare on an axis: its x is
    the smallest of theirs, and so is its y. The fronts are chosen on validation and drawn on test.
    """
    measured = records[records.status.isin(MEASURED)]
    points = measured[["label", "title", "seed", "hyperparameters", "status", "key"]].assign(
        mark="trial", x=100 * measured[kind], y=100 * measured.test_accuracy
    )
    parts = [points]
    for (label, title), group in measured[measured.label != CONTROL].groupby(["label", "title"], sort=False):
        front = pd.concat([seed[on_front(seed[kind], seed.val_accuracy)] for _, seed in group.groupby("seed")])
        for mark, share in {"all": 1.0, "half": 0.5, "one": 1 / group.seed.nunique()}.items():
            surface = attainment(front[kind], front.test_accuracy, front.seed, share)
            corners = pd.DataFrame(
                {"label": label, "title": title, "mark": f"attained by {mark}"}, index=range(len(surface))
            )
            corners["key"] = [" ".join(_sources(front, kind, *corner)) for corner in surface]
            parts.append(corners.assign(x=100 * surface[:, 0], y=100 * surface[:, 1]))
    return pd.concat(parts, ignore_index=True)


def _sources(front: pd.DataFrame, kind: str, sparsity: float, accuracy: float) -> np.ndarray:
    attains = (front[kind] >= sparsity) & (front.test_accuracy >= accuracy)
    touches = (front[kind] == sparsity) | (front.test_accuracy == accuracy)
    return front.key[attains & touches].to_numpy()

"""Methods across tasks: performance profiles, and the probability that one is better than another.

Pure functions of `verdict.seed_scores`. Sources: Dolan and Moré 2002; Agarwal et al. 2021.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.intervals import LEVEL, SEED, wilson
from benchmark.analysis.pairs import DIGITS
from benchmark.analysis.verdict import names

TAUS = np.round(np.arange(0, 5.01, 0.1), 1)  # points of accuracy below the best
RESAMPLES = 999


def profiles(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """For every method and τ the share of its tasks on which it is at most τ points below the task's best method.

    A method's score on a task is the median over seeds of a column of accuracies, a seed that is NaN there being the
    worst of all. Tasks on which a method was not run do not count for it. Columns: label, method, tau (points), share,
    low, high (percentiles of the share over seeds resampled within each task, the same ones for all methods), tasks.
    """
    titles = names(scores)
    generator = np.random.default_rng(SEED)
    near: dict[str, list[NDArray[np.bool_]]] = {label: [] for label in titles}
    for _, place in scores.groupby("task", sort=False):
        wide = place.pivot(index="seed", columns="label", values=column).fillna(-np.inf)
        gaps = _gaps(wide.to_numpy(float), generator)
        for label, gap in zip(wide.columns, gaps, strict=True):
            near[label].append(gap[:, None] <= TAUS / 100 + 10.0**-DIGITS)
    rows = []
    for label, found in near.items():
        shares = np.mean(found, axis=0)  # first as they are, then resampled; by τ
        low, high = np.quantile(shares[1:], [LEVEL / 2, 1 - LEVEL / 2], axis=0)
        columns = {"label": label, "method": titles[label], "tau": TAUS, "share": shares[0], "low": low, "high": high}
        rows.append(pd.DataFrame({**columns, "tasks": len(found)}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _gaps(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """How far each method's median lies below the largest, methods × (1 + RESAMPLES); values are seeds × methods."""
    seeds = len(values)
    drawn = np.vstack([np.arange(seeds), generator.integers(seeds, size=(RESAMPLES, seeds))])
    ordered = np.sort(values[drawn], axis=1)  # resamples × seeds × methods
    lower, upper = ordered[:, (seeds - 1) // 2], ordered[:, seeds // 2]
    medians = (lower + upper) / 2
    with np.errstate(invalid="ignore"):  # where no method gets there
        gaps = medians.max(axis=1, keepdims=True) - medians
    return np.where(np.isneginf(medians), np.inf, gaps).T


def improvements(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """For every two methods the probability that the first is better where both have the same task and seed.

    Equal ones count as half. A method that has a score is better than one that has none; where neither has, it is no
    pair. Columns: label, method, against, reference (its title), n (pairs), tasks, probability, low and high (Wilson's
    interval, which takes the pairs as independent).
    """
    titles = names(scores)
    wide = scores.pivot(index=["task", "seed"], columns="label", values=column)
    run = scores.assign(run=True).pivot(index=["task", "seed"], columns="label", values="run").notna()
    rows = []
    for one, other in combinations(titles, 2):
        paired = run[one] & run[other] & wide[[one, other]].notna().any(axis=1)
        left, right = (wide.loc[paired, label].fillna(-1.0).round(DIGITS).to_numpy() for label in (one, other))
        wins, n = float((left > right).sum() + (left == right).sum() / 2), int(paired.sum())
        tasks = wide.index[paired].get_level_values("task").nunique()
        for first, second, won in ((one, other, wins), (other, one, n - wins)):
            found = wilson(won, n)
            ends = (n, tasks, found.mean, found.low, found.high)
            rows.append((first, titles[first], second, titles[second], *ends))
    columns = ["label", "method", "against", "reference", "n", "tasks", "probability", "low", "high"]
    return pd.DataFrame(rows, columns=columns)

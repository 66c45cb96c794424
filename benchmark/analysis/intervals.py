"""Intervals of means over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

SEED = 0  # of the generator that draws resamples where there are too many to take all
ALL = 6  # seeds up to which all n^n resamples are taken
DRAWN = 9999
LEVEL = 0.05


@dataclass(frozen=True)
class Interval:
    """A mean over n values with the ends of its 95 % confidence interval, NaN where n < 2."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: ArrayLike | Sequence[float | None]) -> Interval:
    """Student's t interval of the mean; values that are None or NaN do not count."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return Interval(known[0] if len(known) else np.nan, np.nan, np.nan, len(known))
    half = stats.t.ppf(1 - LEVEL / 2, len(known) - 1) * stats.sem(known)
    return Interval(known.mean(), known.mean() - half, known.mean() + half, len(known))


def intervals(values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Means over axis 0 with 95 % t intervals, NaN-aware, as columns mean, low, high, n; cf. `mean_interval`."""
    values = values.astype(float)
    n = (~np.isnan(values)).sum(0)
    total = np.nansum(values, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        deviation = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / (n - 1))
        half = np.where(n > 1, stats.t.ppf(0.975, np.maximum(n - 1, 1)) * deviation / np.sqrt(n), np.nan)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def bootstrap(values: ArrayLike, generator: np.random.Generator) -> Interval:
    """The mean of n values with its 95 % percentile bootstrap interval; none where n < 2.

    Up to six values all n^n resamples are taken, so nothing is random; beyond, the generator draws 9999. The interval
    never leaves the values' range, which holds their distribution's median with probability 1 − 2/2^n only.
    Source: Efron and Tibshirani 1993, section 13.3.
    """
    values = np.sort(np.asarray(values, dtype=float))  # so that the order they come in decides nothing
    n = len(values)
    if n < 2:
        return mean_interval(values)
    if n <= ALL:
        means = values[list(itertools.product(range(n), repeat=n))].mean(axis=1)
        low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2], method="inverted_cdf")
    else:
        drawn = stats.bootstrap((values,), np.mean, n_resamples=DRAWN, method="percentile", rng=generator)
        low, high = drawn.confidence_interval
    return Interval(float(values.mean()), float(low), float(high), n)

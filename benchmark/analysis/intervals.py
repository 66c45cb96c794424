"""Intervals of means over seeds, and how they are shown."""

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
LEAST = 5  # values from which on a t interval is shown
DISTINCT = 4  # different ones among them
RULE = (
    f"± is half of the 95 % t interval over seeds. It is shown for {LEAST} values or more of which at least {DISTINCT} "
    "differ, where it stays within what is possible; else brackets hold the smallest and the largest value. (k of n): "
    "k of n seeds have a value, the same one where nothing else is said."
)


@dataclass(frozen=True)
class Interval:
    """A mean over n values with the ends of its 95 % confidence interval, NaN where n < 2.

    Where it is not `student`, the ends are the smallest and the largest value.
    """

    mean: float
    low: float
    high: float
    n: int
    student: bool = True

    @property
    def ends(self) -> str:
        """What its ends are, in words."""
        return "95 % t interval" if self.student else "range of seeds"


def mean_interval(values: ArrayLike | Sequence[float | None]) -> Interval:
    """Student's t interval of the mean; values that are None or NaN do not count."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return Interval(known[0] if len(known) else np.nan, np.nan, np.nan, len(known))
    half = stats.t.ppf(1 - LEVEL / 2, len(known) - 1) * stats.sem(known)
    return Interval(known.mean(), known.mean() - half, known.mean() + half, len(known))


def spread(values: ArrayLike | Sequence[float | None], least: float = 0.0, most: float = 1.0) -> Interval:
    """The mean of values that lie between `least` and `most`, with the ends that RULE lets one show."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    found = mean_interval(known)
    enough = found.n >= LEAST and len(np.unique(known)) >= DISTINCT
    if enough and least <= found.low and found.high <= most:
        return found
    low, high = (known.min(), known.max()) if found.n > 1 else (np.nan, np.nan)
    return Interval(found.mean, low, high, found.n, student=False)


def shown(interval: Interval, seeds: int = 0, factor: float = 100.0, digits: int = 1, sign: str = "") -> str:
    """An interval as text, times `factor`: `97.7 ± 0.4`, `25.8 (0.0 to 57.1)`, `85.0 (3 of 3)`, `–` for none.

    One over fewer than all `seeds` says over how many; `sign` is + where a plus is shown.
    """
    if np.isnan(interval.mean):
        return "–"
    mean, low, high = (decimal(factor * value, digits, sign) for value in (interval.mean, interval.low, interval.high))
    count = f"{interval.n} of {max(seeds, interval.n)}"
    if interval.n < 2 or (low == high and not interval.student):
        return f"{mean} ({count})"
    if interval.student:
        half = f"{factor * (interval.high - interval.mean):.{digits}f}"
        return f"{mean} ± {half}" + (f" ({count})" if interval.n < seeds else "")
    return f"{mean} ({low} to {high}" + (f"; {count})" if interval.n < seeds else ")")


def decimal(value: float, digits: int = 1, sign: str = "") -> str:
    """A number with so many digits after the point, of two equally near the even one, so that all places agree."""
    return f"{np.round(value, digits) + 0.0:{sign}.{digits}f}"  # no −0.0


def intervals(values: NDArray[Any], most: float = 1.0) -> dict[str, NDArray[Any]]:
    """Means over axis 0 of values from 0 to `most`, NaN-aware, as columns mean, low, high, n; cf. `spread`."""
    values = values.astype(float)
    n = (~np.isnan(values)).sum(0)
    total = np.nansum(values, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        deviation = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / (n - 1))
        half = np.where(n > 1, stats.t.ppf(0.975, np.maximum(n - 1, 1)) * deviation / np.sqrt(n), np.nan)
    ordered = np.sort(values, axis=0)  # NaN last
    distinct = (n > 0) + (np.diff(ordered, axis=0) > 0).sum(0)
    student = (n >= LEAST) & (distinct >= DISTINCT) & (mean - half >= 0) & (mean + half <= most)
    low = np.where(student, mean - half, np.where(n > 1, np.fmin.reduce(values, axis=0, initial=np.inf), np.nan))
    high = np.where(student, mean + half, np.where(n > 1, np.fmax.reduce(values, axis=0, initial=-np.inf), np.nan))
    return {"mean": mean, "low": low, "high": high, "n": n}


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


def wilson(successes: float, n: int) -> Interval:
    """A share of n trials with its 95 % interval, which stays within 0 and 1 and has a width where all succeed.

    A success may be half of one. None where n is 0. Source: Wilson 1927; Brown, Cai and DasGupta 2001, section 4.
    """
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0, student=False)
    share, z = successes / n, stats.norm.ppf(1 - LEVEL / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
    return Interval(share, float(low), float(high), n, student=False)

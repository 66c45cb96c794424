"""What the results of a study support: hypervolumes, accuracy at equal sparsity, and paired comparisons of methods.

Pure functions of the frame that `as_frame` makes. Every choice of a point is made on validation and shown on test.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmark.analysis.frame import CONTROL, SPARSITY
from benchmark.analysis.intervals import DRAWN, LEVEL, SEED, bootstrap, mean_interval
from benchmark.analysis.summary import seed_hypervolume
from benchmark.errors import unknown
from benchmark.experiment.record import MEASURED

SPARSITIES = (0.5, 0.75, 0.9)
REFERENCE = "implicit"
DIGITS = 12  # accuracies are ratios of counts: what a subtraction leaves beyond this digit is rounding


def hypervolumes(records: pd.DataFrame) -> pd.DataFrame:
    """The mean hypervolume over seeds of every task and method, with its 95 % percentile bootstrap interval.

    A seed in which all trials of a method failed counts as 0.

    Columns: task, label, method, n (seeds), hypervolume (share of the square), low, high (NaN where n < 2).
    """
    rows = []
    for (task, label, title), group in records[records.label != CONTROL].groupby(
        ["task", "label", "title"], sort=False
    ):
        areas = [seed_hypervolume(seed[seed.status.isin(MEASURED)]) for _, seed in group.groupby("seed")]
        found = bootstrap(areas, np.random.default_rng(SEED))
        rows.append((task, label, title, found.n, found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=["task", "label", "method", "n", "hypervolume", "low", "high"])


def at_sparsity(records: pd.DataFrame) -> pd.DataFrame:
    """For every task, method, seed and sparsity asked for: the point with at least that, the one validating best.

    Of points that validate alike the smaller network is taken. Columns: task, label, method, seed, sparsity (asked
    for), test_accuracy, param_sparsity and key of the point; NaN and an empty key where no point is that sparse.
    """
    rows = []
    methods = records[records.label != CONTROL]
    for place, group in methods.groupby(["task", "label", "title", "seed"], sort=False):
        measured = group[group.status.isin(MEASURED)]
        best = measured.sort_values(["val_accuracy", SPARSITY, "key"], ascending=[False, False, True])
        for least in SPARSITIES:
            reached = best[best[SPARSITY] >= least - 10.0**-DIGITS]
            point = (np.nan, np.nan, "")
            if len(reached):
                point = tuple(reached[["test_accuracy", SPARSITY, "key"]].iloc[0])
            rows.append((*place, least, *point))
    names = ["task", "label", "method", "seed", "sparsity", "test_accuracy", "param_sparsity", "key"]
    return pd.DataFrame(rows, columns=names)


def compare_methods(chosen: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Every method against the reference at each sparsity, over the pairs (task, seed) in which both reach it.

    `chosen` is what `at_sparsity` gives. Columns: sparsity, label, method, reference (its title), n (pairs), slots
    (pairs there could be), difference (mean of method − reference, test accuracy), low, high (95 % t interval), effect
    (Cohen's d_z, difference over its standard deviation; NaN where that is 0), p (exact sign-flip test), p_holm,
    smallest_p (no p of n pairs can be below). Where n < 2 nothing is tested. The pairs are taken as independent: with
    several tasks, these speak about the tasks at hand. Raises UsageError for an unknown reference.
    """
    titles = dict(zip(chosen.label, chosen.method, strict=True))
    if reference not in titles:
        raise unknown("reference method", reference, titles)
    wide = chosen.pivot(index=["sparsity", "task", "seed"], columns="label", values="test_accuracy")
    rows = []
    for sparsity, block in wide.groupby(level="sparsity"):
        for label in [label for label in titles if label != reference]:
            differences = (block[label] - block[reference]).dropna().round(DIGITS).to_numpy()
            names = {"sparsity": sparsity, "label": label, "method": titles[label], "reference": titles[reference]}
            rows.append({**names, "slots": len(block), **_paired(differences)})
    columns = ["sparsity", "label", "method", "reference", "n", "slots", "difference", "low", "high", "effect", "p"]
    made = pd.DataFrame(rows, columns=[*columns, "smallest_p"])
    return made.assign(p_holm=holm(made.p))


def _paired(differences: NDArray[np.float64]) -> dict[str, float]:
    interval, n = mean_interval(differences), len(differences)
    spread = differences.std(ddof=1) if n > 1 else 0.0
    return {
        "n": n,
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "effect": interval.mean / spread if spread > 0 else np.nan,
        "p": sign_flip(differences, np.random.default_rng(SEED)),
        "smallest_p": smallest_p(n),
    }


def smallest_p(n: int) -> float:
    """The least p that `sign_flip` can give for n pairs; NaN for none."""
    return max(2 / 2**n, 2 / (DRAWN + 1) if 2**n > DRAWN else 0.0) if n else np.nan


def sign_flip(differences: ArrayLike, generator: np.random.Generator) -> float:
    """The two-sided p of a mean difference of n pairs under the flipping of signs; NaN where n < 2.

    Exact up to 13 pairs, from 9999 flips that the generator draws beyond. Source: Fisher 1935, section 21.
    """
    differences = np.sort(np.asarray(differences, dtype=float))
    if len(differences) < 2:
        return np.nan
    test = stats.permutation_test(
        (differences, np.zeros_like(differences)),
        _mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=DRAWN,
        rng=generator,
    )
    return float(test.pvalue)


def _mean_difference(one: NDArray[np.float64], other: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Rounded, so that flips whose means are equal count as equal."""
    return np.asarray((one - other).mean(axis=axis).round(DIGITS))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """The p values, corrected for that many tests; NaN stays NaN and does not count. Source: Holm 1979."""
    p = np.asarray(p, dtype=float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected


def pairs_needed(tests: int) -> int:
    """The least number of pairs with which one of so many tests can stay below 0.05 after Holm's correction."""
    return math.ceil(math.log2(2 * max(tests, 1) / LEVEL))

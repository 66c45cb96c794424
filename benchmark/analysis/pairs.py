"""What the results of a study support: hypervolumes, accuracy at equal sparsity, and paired comparisons of methods.

Pure functions of the frame that `as_frame` makes. Every choice of a point is made on validation and shown on test.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmark.analysis.frame import CONTROL, SCRATCH, SPARSITY, best, ranked
from benchmark.analysis.intervals import DRAWN, LEAST, SEED, bootstrap, spread
from benchmark.analysis.summary import floor, seed_hypervolume
from benchmark.experiment.record import MEASURED

SPARSITIES = (0.5, 0.75, 0.9, 0.95)
REFERENCES = (SCRATCH, "implicit")  # the line to beat, and the suite's subject
DIGITS = 12  # accuracies are ratios of counts: what a subtraction leaves beyond this digit is rounding
TIE = 8  # digits in which means are equal: each difference's rounding beyond DIGITS adds to theirs
PAIRED = [
    "sparsity",
    "label",
    "method",
    "against",
    "reference",
    "n",
    "slots",
    "difference",
    "low",
    "high",
    "ends",
    "effect",
    "p",
    "p_flip",
]


def hypervolumes(records: pd.DataFrame) -> pd.DataFrame:
    """The mean hypervolume over seeds of every task and method, with its 95 % percentile bootstrap interval.

    It counts from the task's floor, and a seed in which all trials of a method failed counts as 0. A task without a
    dense control has none.

    Columns: task, label, method, floor (test accuracy), n (seeds), hypervolume (share of the rectangle above the
    floor), low, high (NaN where n < 2).
    """
    floors = {str(task): floor(group) for task, group in records.groupby("task", sort=False)}
    rows = []
    methods = records[records.label != CONTROL].groupby(["task", "label", "title"], sort=False)
    for (task, label, title), group in methods:
        least = floors[str(task)]
        if not np.isnan(least):
            areas = [seed_hypervolume(seed[seed.status.isin(MEASURED)], least) for _, seed in group.groupby("seed")]
            found = bootstrap(areas, np.random.default_rng(SEED))
            rows.append((task, label, title, least, found.n, found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=["task", "label", "method", "floor", "n", "hypervolume", "low", "high"])


def at_sparsity(records: pd.DataFrame) -> pd.DataFrame:
    """For every task, method, seed and sparsity asked for: the point with at least that, the one validating best.

    Of points that validate alike the smaller network is taken, then the smaller knob. Columns: task, label, method,
    seed, sparsity (asked for), test_accuracy, param_sparsity and key of the point; NaN and an empty key where no point
    is that sparse.
    """
    rows = []
    methods = ranked(records[records.label != CONTROL])
    for place, group in methods.groupby(["task", "label", "title", "seed"], sort=False):
        measured = group[group.status.isin(MEASURED)]
        for least in SPARSITIES:
            reached = measured[measured[SPARSITY] >= least - 10.0**-DIGITS]
            point = (np.nan, np.nan, "")
            if len(reached):
                chosen = best(reached)
                point = (chosen.test_accuracy, chosen[SPARSITY], chosen.key)
            rows.append((*place, least, *point))
    names = ["task", "label", "method", "seed", "sparsity", "test_accuracy", "param_sparsity", "key"]
    return pd.DataFrame(rows, columns=names)


def compare_methods(chosen: pd.DataFrame) -> pd.DataFrame:
    """Every method against each of REFERENCES that is there, at each sparsity, over the pairs in which both reach it.

    `chosen` is what `at_sparsity` gives; a pair is of one task and seed. Columns: sparsity, label, method, against (the
    reference's label), reference (its title), n (pairs), slots (pairs there could be), difference (mean of method −
    reference, test accuracy), low, high and ends (an interval by `intervals.RULE`), effect (Cohen's d_z, difference
    over its standard deviation; NaN where that is 0), p (paired t test, NaN below 5 pairs), p_flip (exact sign-flip
    test, NaN below 2) and p_holm (of p, corrected for all tests of the table). The pairs are taken as independent: with
    several tasks, these speak about the tasks at hand.
    """
    titles = dict(zip(chosen.label, chosen.method, strict=True))
    wide = chosen.pivot(index=["sparsity", "task", "seed"], columns="label", values="test_accuracy")
    rows = []
    for reference in [label for label in REFERENCES if label in titles]:
        done = REFERENCES[: REFERENCES.index(reference) + 1]  # two references are compared once
        for label in [label for label in titles if label not in done]:
            for sparsity, block in wide.groupby(level="sparsity"):
                differences = (block[label] - block[reference]).dropna().round(DIGITS)
                names = {"sparsity": sparsity, "label": label, "method": titles[label]}
                names |= {"against": reference, "reference": titles[reference], "slots": len(block)}
                rows.append(names | paired(differences.to_numpy(), step(chosen, differences)))
    made = pd.DataFrame(rows, columns=PAIRED)
    return made.assign(p_holm=holm(made.p))


def paired(differences: NDArray[np.float64], step: float) -> dict[str, float | str]:
    """What is told of paired differences that move in steps: their interval, its ends, n, effect and p values."""
    interval, n = spread(differences, least=-1.0), len(differences)
    deviation = differences.std(ddof=1) if len(np.unique(differences)) > 1 else 0.0  # of equal ones 1e-17
    return {
        "n": n,
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "ends": interval.ends,
        "effect": interval.mean / deviation if deviation > 0 else np.nan,
        "p": paired_t(differences, step) if n >= LEAST else np.nan,
        "p_flip": sign_flip(differences, np.random.default_rng(SEED)),
    }


def paired_t(differences: NDArray[np.float64], step: float) -> float:
    """The two-sided p of the paired t test; NaN where n < 2.

    Differences move in steps: they cannot be known to spread less than their rounding does, √(1/6) of a step, so a
    few equal ones by chance are no proof.
    """
    n = len(differences)
    if n < 2:
        return np.nan
    if not differences.any():
        return 1.0
    deviation = max(differences.std(ddof=1), step / np.sqrt(6))
    return float(2 * stats.t.sf(abs(differences.mean()) / (deviation / np.sqrt(n)), n - 1))


def resolution(accuracies: ArrayLike) -> float:
    """The step in which accuracies move: the smallest gap between two that were seen, 0 if there is none."""
    known = np.unique(np.round(np.asarray(accuracies, dtype=float), DIGITS))
    return float(min(np.diff(known[~np.isnan(known)]), default=0.0))


def step(chosen: pd.DataFrame, differences: pd.Series) -> float:
    """The finest step in which the accuracies that `at_sparsity` gives move on the tasks of some paired differences.

    Each task is taken by itself: test sets differ in size, and gaps between their accuracies mean nothing.
    """
    tasks = chosen[chosen.task.isin(differences.index.get_level_values("task"))].groupby("task")
    return min((resolution(task.test_accuracy) for _, task in tasks), default=0.0)


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
    return np.asarray((one - other).mean(axis=axis).round(TIE))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """The p values, corrected for that many tests; NaN stays NaN and does not count. Source: Holm 1979."""
    p = np.asarray(p, dtype=float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected

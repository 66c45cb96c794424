"""Fronts, attainment, hypervolume and intervals: pure functions of arrays. Larger is better on both axes."""

from __future__ import annotations

import math

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray


def on_front(sparsity: ArrayLike, accuracy: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates; equal points are all on it, points with a NaN never are."""
    points = np.column_stack([sparsity, accuracy]).astype(float)
    known = ~np.isnan(points).any(axis=1)
    mask = np.zeros(len(points), dtype=bool)
    if known.any():
        mask[known] = moocore.is_nondominated(points[known], maximise=True, keep_weakly=True)
    return mask


def attainment(sparsity: ArrayLike, accuracy: ArrayLike, run: ArrayLike, least: int) -> NDArray[np.float64]:
    """The surface that at least `least` of the runs attain, as corner points (sparsity, accuracy), sparsity rising.

    A run attains a point if one of its own has at least that sparsity and that accuracy. Source: Fonseca and Fleming
    1996; López-Ibáñez et al. 2010.
    """
    points = -np.column_stack([sparsity, accuracy]).astype(float)
    known = ~np.isnan(points).any(axis=1)
    runs = np.unique(np.asarray(run)[known], return_inverse=True)[1] + 1
    count = runs.max(initial=0)
    if count < least:
        return np.empty((0, 2))
    order = np.argsort(runs, kind="stable")  # moocore takes a run's points to be adjacent
    percentile = 100 * (least - 0.25) / count  # in the middle of what moocore takes for `least` runs
    attained_losses = moocore.eaf(points[known][order], sets=runs[order], percentiles=[percentile])[:, :2]
    surface: NDArray[np.float64] = 0.0 - attained_losses  # and no −0.0
    return surface[np.argsort(surface[:, 0], kind="stable")]


def attained(surface: NDArray[np.float64], sparsity: ArrayLike) -> NDArray[np.float64]:
    """The accuracy that a surface attains at each sparsity, NaN beyond its end."""
    reaches = surface[None, :, 0] >= np.asarray(sparsity, dtype=float)[:, None]
    best = np.where(reaches, surface[None, :, 1], -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(best), best, np.nan)


def hypervolume(sparsity: ArrayLike, accuracy: ArrayLike, floor: float) -> float:
    """The area that the points dominate, between sparsity 0 and 1 and from accuracy `floor` to 1, as a share of it."""
    points = np.column_stack([sparsity, accuracy]).astype(float)
    points = points[~np.isnan(points).any(axis=1) & (points[:, 1] > floor) & (points[:, 0] > 0)]
    if not len(points):
        return 0.0
    return float(moocore.hypervolume(points, ref=[0.0, floor], maximise=True)) / (1 - floor)


def largest_drop(knob: ArrayLike, accuracy: ArrayLike) -> float:
    """The largest loss of accuracy from one knob point to the next; 0 if there is none.

    NaN with fewer than two points, or where the accuracy of one is not known.
    """
    order = np.argsort(np.asarray(knob, dtype=float), kind="stable")
    ordered = np.asarray(accuracy, dtype=float)[order]
    if len(ordered) < 2 or np.isnan(ordered).any():
        return np.nan
    return float(max(0.0, (ordered[:-1] - ordered[1:]).max()))


def slope(sparsity: ArrayLike, accuracy: ArrayLike) -> float:
    """The accuracy lost per sparsity gained, by least squares, to the last bit the same on every processor.

    NaN with fewer than two different sparsities, or where the accuracy of a point is not known.
    """
    x, y = np.asarray(sparsity, dtype=float), np.asarray(accuracy, dtype=float)
    if np.isnan(y).any() or len(np.unique(x)) < 2:
        return np.nan
    from_mean = x - math.fsum(x) / len(x)
    return -math.fsum(from_mean * y) / math.fsum(from_mean**2)

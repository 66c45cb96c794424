"""Held against what papers published: a reproduction's results beside their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.analysis.intervals import Interval, shown, spread
from benchmark.experiment.published import Published
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.networks.names import FLATTENING

POINTS, SHARE = 0.2, 0.1  # how far a result may lie from the paper's: points of test error, share of the weights
MET, SURPASSED, NOT_MET, OPEN = "met", "surpassed", "not met", "not run"
NOTE = (
    f"met: within {POINTS:g} points of the published test error and {SHARE:.0%} of the published number of weights; "
    "surpassed: no worse than that in either, and better in one; by k of n seeds or settings: the others have no "
    "result, so it is not settled. error: of the last epoch, on a test set that chose nothing. best epoch: the least "
    "test error of any epoch of the last part, as many papers report it; it is chosen by looking at the test set, and "
    "nothing else here uses it. weights: those left and not zero, as a share of the dense network's, without biases "
    "and norms. chosen by size: of several settings the one whose weights are nearest to the published ones; accuracy "
    "does not choose. left: channels of each group, mean over seeds; with °: the pixels or flattened channels that the "
    "first dense layer reads, where these are removed one by one. Values over seeds are means, with the least and the "
    "greatest."
)


def published_table(study: Study, records: Sequence[Record]) -> pd.DataFrame:
    """One row per label with published numbers: the paper's, ours, and whether they are met."""
    return pd.DataFrame([_row(study, label, paper, records) for label, paper in study.published.items()])


def _row(study: Study, label: str, paper: Published, records: Sequence[Record]) -> dict[str, str]:
    tried = [record for record in records if record.label == label]
    own = nearest(paper, tried)
    measured, seeds = [record for record in own if record.measured], len(study.seeds)
    errors, weights = last_epochs(measured), weights_left(measured)
    knob = own[0].knob if own and len(study.points(label)) > 1 else None
    return {
        "row": label,
        "method": study.legend(label),
        "published error": f"{paper.error:.2f}",
        "error": shown(errors, seeds, digits=2),
        "best epoch (looks at the test set)": shown(best_epochs(measured), seeds, digits=2),
        "published left": paper.left or "–",
        "left": left(measured) or "–",
        "published weights": f"{100 * paper.weights:.1f}",
        "weights": shown(weights, seeds),
        "chosen by size": f"{knob} {own[0].knob_value}" if knob else "–",
        "verdict": judge(paper, errors, weights) + _lacking(study, label, tried, measured),
        "why": "; ".join(filter(None, (*reasons(paper, errors, weights, own), paper.note))) or "–",
        "source": f"{paper.source} ({paper.verified})",
    }


def _lacking(study: Study, label: str, tried: Sequence[Record], measured: Sequence[Record]) -> str:
    """By how many of a row's seeds and settings it is judged, where others have no result."""
    settings = {record.knob_value for record in tried if record.measured}
    counts = {"seeds": (len(measured), len(study.seeds)), "settings": (len(settings), len(study.points(label)))}
    lacking = [f"{have} of {every} {what}" for what, (have, every) in counts.items() if 0 < have < every]
    return f" by {', '.join(lacking)}" if lacking else ""


def nearest(paper: Published, records: Sequence[Record]) -> list[Record]:
    """Of one label's records those at the knob point that leaves most nearly the published number of weights."""
    points: dict[object, list[Record]] = {}
    for record in records:
        points.setdefault(record.knob_value, []).append(record)

    def distance(own: list[Record]) -> float:
        share = weights_left([record for record in own if record.measured]).mean
        return abs(np.log(share / paper.weights)) if share > 0 else np.inf

    return min(points.values(), key=distance, default=[])


def last_epochs(records: Sequence[Record]) -> Interval:
    """The test error of measured records at their last epoch, over seeds."""
    return spread([1 - float(record.test_accuracy or 0) for record in records])


def weights_left(records: Sequence[Record]) -> Interval:
    """The share of the dense network's weights that measured records leave and that are not zero, over seeds."""
    return spread([1 - float(record.weight_sparsity or 0) for record in records], most=2)


def judge(paper: Published, errors: Interval, weights: Interval) -> str:
    """The verdict over a row's mean test error and share of weights, both from 0 to 1."""
    if np.isnan(errors.mean):
        return OPEN
    more, ratio = differences(paper, errors, weights)
    if more > POINTS or ratio > 1 + SHARE:
        return NOT_MET
    return MET if more >= -POINTS and ratio >= 1 - SHARE else SURPASSED


def differences(paper: Published, errors: Interval, weights: Interval) -> tuple[float, float]:
    """By how many points the mean error lies above the paper's, and the ratio of the weights; past rounding errors."""
    return round(100 * errors.mean - paper.error, 9), round(weights.mean / paper.weights, 9)


def reasons(paper: Published, errors: Interval, weights: Interval, records: Sequence[Record]) -> list[str]:
    """What a row's numbers differ in, and what failed."""
    found = [f"seed {r.seed} {r.status}" for r in records if r.status != "ok"]
    if np.isnan(errors.mean):
        return found
    more, ratio = differences(paper, errors, weights)
    if abs(more) > POINTS:
        found.append(f"error {abs(more):.2f} points {'above' if more > 0 else 'below'} the paper's")
    if abs(ratio - 1) > SHARE:
        found.append(f"{ratio:.2f} times the paper's weights")
    return found


def best_epochs(records: Sequence[Record]) -> Interval:
    """The test error of every record's best epoch, over seeds."""
    found = [record.best_test_accuracy for record in records]
    return spread([np.nan if accuracy is None else 1 - accuracy for accuracy in found])


def left(records: Sequence[Record]) -> str:
    """The architecture that is left, as papers write it: the mean over seeds of every group's channels."""
    if not records:
        return ""
    counts = [list(record.channels_left.values()) for record in records]
    sizes = [f"{np.mean(group):.0f}" for group in zip(*counts, strict=True)]
    features = [record.features_left for record in records if record.features_left is not None]
    if features:
        sizes.insert(FLATTENING[records[0].task.network], f"{np.mean(features):.0f}°")
    return "-".join(sizes)

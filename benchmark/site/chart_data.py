"""What a page shows besides the front, as tidy data frames: means over seeds with intervals by `intervals.RULE`.

A method's trials with the same hyperparameters are one knob point. Where a method has more than `SHOWN` points, as
under a sampler, evenly spaced ones of them are shown, in order of what they remove.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis.frame import CONTROL, SPARSITY
from benchmark.analysis.intervals import intervals
from benchmark.experiment.record import MEASURED
from benchmark.site.digest import Digest

SERIES = ("val_accuracy", "silent")  # of a history
SHOWN = 8
EPOCHS = 100  # at most so many epochs of a history are shown
METHOD = ["task", "label", "title"]
POINT = [*METHOD, "place", "point"]


def knob_points(records: pd.DataFrame, grid: bool) -> pd.DataFrame:
    """The measured records with `place`, their knob point's place from weak to strong, and `point`, its name.

    Outside a `grid` the knob is not all that changes, and what a point removes gives its place.
    """
    measured = records[records.status.isin(MEASURED)]
    means = measured.groupby([*METHOD, "hyperparameters"], sort=False).agg(
        knob_name=("knob_name", "first"), knob=("knob", "first"), removed=(SPARSITY, "mean")
    )
    means = means.reset_index()
    order = means.knob if grid else means.removed
    ranks = order.groupby([means[c] for c in METHOD]).rank(method="first")
    means["place"] = ranks.fillna(1).astype(int)
    means["point"] = [_name(row, grid) for row in means.itertuples()]
    kept = means[[*METHOD, "hyperparameters", "place", "point"]]
    return measured.merge(kept, on=[*METHOD, "hyperparameters"], how="left")


def _name(row: tuple, grid: bool) -> str:
    if not grid:
        return f"sample {row.place}: {100 * row.removed:.0f} % removed"
    return f"{row.knob_name} = {row.knob:g}" if row.knob_name else "no knob"


def thin(points: pd.DataFrame) -> pd.DataFrame:
    """The records of at most `SHOWN` knob points of every task and method."""
    most = points.groupby(["task", "label"]).place.transform("max")
    step = np.maximum(1.0, (most - 1) / (SHOWN - 1))
    nearest = np.round(np.round((points.place - 1) / step) * step) + 1
    return points[(most <= SHOWN) | (nearest == points.place)]


def epochs(digest: Digest, points: pd.DataFrame) -> pd.DataFrame:
    """Validation accuracy and share of silent channels at epochs, one row per knob point, epoch and measure."""
    last = digest.study.protocol.epochs
    step = math.ceil(last / EPOCHS)
    shown = np.arange(last, 0, -step)[::-1]
    histories = {r.key: r.history for r in digest.records if r.history}
    parts = []
    for names, group in points.groupby(POINT, sort=False):
        known = [histories[key] for key in group.key if key in histories]
        whole = np.full((len(known), len(SERIES), last), np.nan)
        for place, history in enumerate(known):
            for i, name in enumerate(SERIES):
                values = history.get(name, [])[-last:]
                whole[place, i, last - len(values) :] = values
        for i, name in enumerate(SERIES):
            part = {"epoch": shown, **intervals(whole[:, i, shown - 1])}
            reached = part["n"] > 0
            parts.append((names, {"measure": name, **{c: values[reached] for c, values in part.items()}}))
    return _joined(parts, ["measure", "epoch"])


def layers(points: pd.DataFrame) -> pd.DataFrame:
    """Channels left by layer, one row per knob point and layer; `whole` is what dense leaves, else the most seen."""
    parts = []
    for names, group in points.groupby(POINT, sort=False):
        left = pd.DataFrame(group.channels_left.map(json.loads).tolist())
        if len(left.columns):
            parts.append((names, {"layer": left.columns.to_numpy(object), **intervals(left.to_numpy(), most=np.inf)}))
    made = _joined(parts, ["layer"])
    dense = made[made.label == CONTROL].groupby(["task", "layer"])["mean"].max()
    most = made.groupby(["task", "layer"]).high.max().combine_first(made.groupby(["task", "layer"])["mean"].max())
    whole = dense.reindex(most.index).fillna(most)
    return made.merge(whole.rename("whole").reset_index(), on=["task", "layer"], how="left")


def norms(digest: Digest, points: pd.DataFrame) -> pd.DataFrame:
    """Share of channels by log10 of ‖w_k‖₂ after training, one row per knob point and bin with its lower edge."""
    parts = []
    for names, group in points.groupby(POINT, sort=False):
        known = [digest.norms[key] for key in group.key if digest.norms[key].shape[1]]
        fine = [h for h in known if not _coarse(h[0])]  # quarters and whole decades cannot be averaged
        known = fine or known
        if known:
            edges = _filled(np.unique(np.concatenate([h[0] for h in known])), 0.25 if fine else 1.0)
            shares = np.zeros((len(known), len(edges)))
            for place, (own, share) in enumerate(known):
                shares[place, np.searchsorted(edges, own)] = share
            parts.append((names, {"lower edge": edges, **intervals(shares)}))
    return _joined(parts, ["lower edge"])


def _coarse(edges: np.ndarray) -> bool:
    """Whether bins are decades; one of zeros alone goes with any."""
    return bool(np.isfinite(edges).any() and (np.floor(edges) == edges).all())


def _filled(edges: np.ndarray, width: float) -> np.ndarray:
    """The edges with those of the empty bins between them."""
    finite = edges[np.isfinite(edges)]
    between = np.arange(finite.min(), finite.max() + width / 2, width) if len(finite) else finite
    return np.concatenate([edges[np.isneginf(edges)], between])


def stability(points: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy and share of parameters removed at every knob point of a grid."""
    own, parts = points[points.label != CONTROL], []
    for measure in ("test_accuracy", SPARSITY):
        wide = own.pivot_table(index=POINT, columns="seed", values=measure, sort=False)
        parts.append(wide.index.to_frame(index=False).assign(measure=measure, **intervals(wide.to_numpy().T)))
    return pd.concat(parts, ignore_index=True)


def failures(records: pd.DataFrame) -> pd.DataFrame:
    """Every trial that did not end well, counted by task, method, status and cause."""
    bad = records[records.status != "ok"]
    unsaid = np.where(bad.status == "collapsed", "a layer lost all its channels; it keeps one", "not said")
    bad = bad.assign(cause=bad.error.where(bad.error != "", unsaid))
    found = bad.groupby(["task", "title", "status", "cause"], sort=False)
    made = found.agg(
        trials=("key", "size"),
        seeds=("seed", lambda seeds: ", ".join(map(str, sorted(set(seeds))))),
        first=("key", "first"),
    )
    return made.reset_index().rename(columns={"title": "method", "first": "first record"})


def _joined(parts: list[tuple[tuple, dict[str, Any]]], own: list[str]) -> pd.DataFrame:
    """One frame of many knob points' columns, built at once: frames of their own would take most of the time."""
    sizes = [len(part["mean"]) for _, part in parts]
    made: dict[str, Any] = {}
    for place, name in enumerate(POINT):
        made[name] = np.repeat(np.array([names[place] for names, _ in parts], dtype=object), sizes)
    for name in [*own, "mean", "low", "high", "n"]:
        columns = [np.broadcast_to(part[name], size) for (_, part), size in zip(parts, sizes, strict=True)]
        made[name] = np.concatenate(columns) if columns else []
    return pd.DataFrame(made)

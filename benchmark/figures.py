"""Records to Pareto figures."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.files import write_whole
from benchmark.pareto import attained, attainment, mean_interval, on_front
from benchmark.tables import CONTROL, MEASURED

AXES = {
    "param_sparsity": "parameters removed (%)",
    "mac_sparsity": "multiply-accumulates removed (%)",
    "channel_sparsity": "hidden channels removed (%)",
    "weight_sparsity": "weights that are zero or removed (%)",
}
FORMATS = ("png", "pdf", "svg")
ZOOM = 10.0  # accuracy points below dense that the main panel shows; what is lower has a panel of its own
MARKERS = "osD^vP*X<>p"
COLORS = sns.color_palette("colorblind")
# The place of a name in this list is its colour and marker in every figure; other names get theirs from a hash.
ORDER = (
    "implicit", "l1", "group_lasso", "magnitude_filter", "network_slimming", "random_filter", "sparse_group_lasso",
    "cges", "ssl", "proximal_adam", "magnitude_weight", "gradual_magnitude", "taylor", "fpgm", "bn_scale",
    "growing_reg", "group_norm_sparsity", "d_gating", "spred", "hard_concrete", "scratch", "implicit_scale", "l1_adam",
)  # fmt: skip
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "font.size": 9,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "deadweight",
}


def style(label: str) -> tuple[tuple[float, float, float], str]:
    """The colour and the marker of a label, the same in every figure."""
    digest = int.from_bytes(hashlib.sha256(label.encode()).digest()[:4])
    free = len(COLORS) * len(MARKERS) - len(ORDER)
    slot = ORDER.index(label) if label in ORDER else len(ORDER) + digest % free
    row, column = divmod(slot, len(COLORS))
    return COLORS[column], MARKERS[(row + column) % len(MARKERS)]


def draw_all(records: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """Draws one Pareto figure per task and kind of sparsity, as PNG, PDF, SVG and CSV; returns the paths."""
    made = []
    with mpl.rc_context(STYLE):
        for task, group in records.groupby("task", sort=False):
            for kind in AXES:
                figure, points = draw_pareto(group, kind, f"{title}: {task}")
                made += write_figure(figure, points, folder / f"pareto-{task}-{kind.removesuffix('_sparsity')}")
    return made


def draw_pareto(records: pd.DataFrame, kind: str, title: str) -> tuple[Figure, pd.DataFrame]:
    """The Pareto figure of one task, and every point drawn in it."""
    marks = _marks(records, kind)
    dense = records[(records.label == CONTROL) & records.status.isin(MEASURED)]
    band = mean_interval(dense.test_accuracy * 100)
    lowest = 100 * records.test_accuracy.min()
    floor = (band.mean if band.n else 100 * records.test_accuracy.max()) - ZOOM
    broken = lowest < floor
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    panels = figure.subplots(2 if broken else 1, 1, sharex=True, squeeze=False, height_ratios=[5, 1][: 1 + broken])[
        :, 0
    ]
    for panel in panels:
        _draw(panel, records, marks, band)
    panels[0].set_ylim(top=min(100.2, 100 * records.test_accuracy.max() + 0.7))
    panels[0].set_ylabel("test accuracy (%)")
    panels[-1].set_xlabel(AXES[kind])
    panels[-1].set_xlim(-2, 102)
    if broken:
        panels[0].set_ylim(bottom=floor)
        panels[1].set_ylim(min(0, lowest), floor)
        panels[1].set_ylabel("below")
    panels[0].set_title(title, loc="left", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    figure.text(0.01, -0.01, _caption(records), fontsize=7, va="top", color="0.3")
    return figure, marks


def _caption(records: pd.DataFrame) -> str:
    seeds = records.seed.nunique()
    return (
        f"Points: trials, n = {seeds} seeds. Lines: attained by at least half of the seeds, bands from all to one of "
        "them; fronts chosen on validation, drawn on test.\nGrey: dense control, mean and 95 % t interval over seeds."
    )


def _marks(records: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Every mark of the figure: trials as points, and the corners of attainment surfaces."""
    measured = records[records.status.isin(MEASURED)]
    points = measured[["label", "title", "seed", "hyperparameters", "status", "key"]].assign(
        mark="trial", x=100 * measured[kind], y=100 * measured.test_accuracy
    )
    parts = [points]
    for (label, title), group in measured[measured.label != CONTROL].groupby(["label", "title"], sort=False):
        chosen = [seed[on_front(seed[kind], seed.val_accuracy)] for _, seed in group.groupby("seed")]
        front = pd.concat(chosen)
        for mark, share in {"all": 1.0, "half": 0.5, "one": 1 / group.seed.nunique()}.items():
            surface = 100 * attainment(front[kind], front.test_accuracy, front.seed, share)
            corners = pd.DataFrame(
                {"label": label, "title": title, "mark": f"attained by {mark}"}, index=range(len(surface))
            )
            parts.append(corners.assign(x=surface[:, 0], y=surface[:, 1]))
    return pd.concat(parts, ignore_index=True)


def _draw(panel: Axes, records: pd.DataFrame, marks: pd.DataFrame, band: object) -> None:
    if band.n:
        low, high = (band.low, band.high) if band.n > 1 else (band.mean, band.mean)
        panel.axhspan(low, high, color="0.5", alpha=0.25, lw=0)
        panel.axhline(band.mean, color="0.3", lw=1, ls="--", label=_legend(records, CONTROL))
    for label in records.label.unique():
        if label == CONTROL:
            continue
        color, marker = style(label)
        mine = marks[marks.label == label]
        trials = mine[mine.mark == "trial"]
        sns.scatterplot(
            x=trials.x, y=trials.y, color=color, marker=marker, s=22, alpha=0.35, lw=0, ax=panel, legend=False
        )
        one, half, everyone = (
            mine[mine.mark == f"attained by {m}"][["x", "y"]].to_numpy() for m in ("one", "half", "all")
        )
        _draw_surface(panel, one, half, everyone, color, marker, _legend(records, label))


def _draw_surface(
    panel: Axes, one: np.ndarray, half: np.ndarray, everyone: np.ndarray, color: tuple, marker: str, name: str
) -> None:
    grid = np.unique(np.concatenate([[0.0], one[:, 0], everyone[:, 0]]))
    panel.fill_between(grid, attained(everyone, grid), attained(one, grid), step="pre", color=color, alpha=0.12, lw=0)
    xs = np.concatenate([[0.0], half[:, 0]])
    ys = np.concatenate([half[:1, 1], half[:, 1]]) if len(half) else np.array([np.nan])
    panel.step(
        xs, ys, where="pre", color=color, lw=1.6, marker=marker, markersize=4, markevery=slice(1, None), label=name
    )


def _legend(records: pd.DataFrame, label: str) -> str:
    """The method's title, with how many of its trials did not end well."""
    mine = records[records.label == label]
    bad = Counter(mine.status[mine.status != "ok"])
    counts = ", ".join(f"{count} {status}" for status, count in sorted(bad.items()))
    return mine.title.iloc[0] + (f"\n({counts} of {len(mine)})" if counts else "")


def write_figure(figure: Figure, points: pd.DataFrame, stem: Path) -> list[Path]:
    """Writes a figure as PNG, PDF and SVG, the same bytes each time, and its points as CSV; returns the paths."""
    made = []
    for suffix in FORMATS:
        buffer = io.BytesIO()
        metadata = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[suffix]
        figure.savefig(buffer, format=suffix, dpi=200, bbox_inches="tight", metadata=metadata)
        made.append(stem.with_name(f"{stem.name}.{suffix}"))
        write_whole(made[-1], buffer.getvalue())
    made.append(stem.with_name(f"{stem.name}.csv"))
    write_whole(made[-1], points.to_csv(index=False, lineterminator="\n").encode())
    return made

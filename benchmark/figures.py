"""Records to Pareto figures."""

from __future__ import annotations

import hashlib
import io
import textwrap
from collections import Counter
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.files import write_whole
from benchmark.pareto import Interval, attained, attainment, mean_interval, on_front
from benchmark.tables import CONTROL, MEASURED, controls

AXES = {
    "param_sparsity": "parameters removed (%)",
    "mac_sparsity": "multiply-accumulates removed (%)",
    "channel_sparsity": "hidden channels removed (%)",
    "weight_sparsity": "weights that are zero or removed (%)",
}
FORMATS = ("png", "pdf", "svg")
ZOOM = 10.0  # accuracy points below dense that the main panel shows; what is lower has a panel of its own
MANY = 10  # labels beyond which each gets a panel of its own
COLUMNS = 5
VECTORS = 500  # trials of a method beyond which its points are an image, also in PDF and SVG
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
    """The Pareto figure of one task, and every point drawn in it: all methods in one, or many in a panel each."""
    marks = pareto_marks(records, kind)
    band = mean_interval(controls(records).test_accuracy * 100)
    floor = (band.mean if band.n else 100 * records.test_accuracy.max()) - ZOOM
    draw = _draw_one if records.label.nunique() <= MANY else _draw_many
    figure = draw(records, marks, band, floor)
    for panel in figure.axes:
        panel.set_xlim(-2, 102)
    figure.suptitle("\n".join(textwrap.wrap(title, 72)), x=0.01, ha="left", fontsize=9)
    figure.supxlabel(AXES[kind], fontsize=9)
    figure.supylabel("test accuracy (%)", fontsize=9)
    figure.text(0.01, -0.01, _caption(records), fontsize=7, va="top", color="0.3")
    return figure, marks


def _draw_one(records: pd.DataFrame, marks: pd.DataFrame, band: Interval, floor: float) -> Figure:
    lowest = 100 * records.test_accuracy.min()
    broken = lowest < floor
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    panels = figure.subplots(2 if broken else 1, 1, sharex=True, squeeze=False, height_ratios=[5, 1][: 1 + broken])[
        :, 0
    ]
    for panel in panels:
        _draw_band(panel, band, _legend(records, CONTROL) if band.n else None)
        for label in _methods(records):
            _draw_method(panel, marks[marks.label == label], style(label), _legend(records, label))
    panels[0].set_ylim(top=_top(records))
    if broken:
        panels[0].set_ylim(bottom=floor)
        panels[1].set_ylim(min(0, lowest), floor)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _draw_many(records: pd.DataFrame, marks: pd.DataFrame, band: Interval, floor: float) -> Figure:
    """One panel per method in its colour, over the lines of all others in grey; triangles are points below the axis."""
    labels = _methods(records)
    rows = -(-len(labels) // COLUMNS)
    figure = Figure(figsize=(7.2, 1.45 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True).flat
    others = _all_staircases(marks[marks.mark == "attained by half"])
    for label, panel in zip(labels, panels, strict=False):
        _draw_band(panel, band, None)
        panel.step(*others, where="pre", color="0.8", lw=0.6)
        mine = marks[marks.label == label]
        _draw_method(panel, mine, style(label), None, size=9)
        below = mine[(mine.mark == "trial") & (mine.y < floor)]
        panel.scatter(below.x, [floor + 0.4] * len(below), marker="v", s=12, color=style(label)[0])
        panel.set_title(_legend(records, label), fontsize=7, pad=2)
        panel.tick_params(labelsize=7)
        panel.set_ylim(floor, _top(records))
    for panel in list(panels):
        panel.set_axis_off()
    return figure


def _top(records: pd.DataFrame) -> float:
    return min(100.2, 100 * records.test_accuracy.max() + 0.7)


def _methods(records: pd.DataFrame) -> list[str]:
    return [label for label in records.label.unique() if label != CONTROL]


def _caption(records: pd.DataFrame) -> str:
    seeds = records.seed.nunique()
    return (
        f"Points: trials, n = {seeds} seeds. Lines: attained by at least half of the seeds, bands from all to one of "
        "them; fronts chosen on validation, drawn on test.\nGrey band: dense control, mean and 95 % t interval."
        + (" Grey lines: the other methods. ▼: trials below the axis." if records.label.nunique() > MANY else "")
    )


def pareto_marks(records: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Every mark of the figure: trials as points, and the corners of attainment surfaces."""
    measured = records[records.status.isin(MEASURED)]
    points = measured[["label", "title", "seed", "hyperparameters", "status", "key"]].assign(
        mark="trial", x=100 * measured[kind], y=100 * measured.test_accuracy
    )
    return pd.concat([points, corners(measured, kind)], ignore_index=True)


def corners(measured: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The corners of the surfaces that all, half and one of the seeds attain, in %, for every method but the control."""
    parts = [pd.DataFrame({"label": [], "title": [], "mark": [], "x": np.empty(0), "y": np.empty(0)})]
    rivals = measured.loc[measured.label != CONTROL, ["label", "title", "seed", kind, "val_accuracy", "test_accuracy"]]
    for (label, title), group in rivals.groupby(["label", "title"], sort=False):
        chosen = [seed[on_front(seed[kind], seed.val_accuracy)] for _, seed in group.groupby("seed")]
        front = pd.concat(chosen)
        for mark, share in {"all": 1.0, "half": 0.5, "one": 1 / group.seed.nunique()}.items():
            surface = 100 * attainment(front[kind], front.test_accuracy, front.seed, share)
            found = {
                "label": label,
                "title": title,
                "mark": f"attained by {mark}",
                "x": surface[:, 0],
                "y": surface[:, 1],
            }
            parts.append(pd.DataFrame(found))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _draw_band(panel: Axes, band: Interval, name: str | None) -> None:
    if band.n:
        low, high = (band.low, band.high) if band.n > 1 else (band.mean, band.mean)
        panel.axhspan(low, high, color="0.5", alpha=0.25, lw=0)
        panel.axhline(band.mean, color="0.3", lw=1, ls="--", label=name)


def _draw_method(panel: Axes, marks: pd.DataFrame, look: tuple, name: str | None, size: float = 22) -> None:
    """A method's trials as faint points, and what half of its seeds attain as a line within a band."""
    color, marker = look
    trials = marks[marks.mark == "trial"]
    sns.scatterplot(
        x=trials.x, y=trials.y, color=color, marker=marker, s=size, alpha=0.35, lw=0, ax=panel, legend=False,
        rasterized=len(trials) > VECTORS,
    )  # fmt: skip
    panel.set(xlabel=None, ylabel=None)
    one, half, everyone = (
        marks[marks.mark == f"attained by {m}"][["x", "y"]].to_numpy() for m in ("one", "half", "all")
    )
    grid = np.unique(np.concatenate([[0.0], one[:, 0], everyone[:, 0]]))
    panel.fill_between(grid, attained(everyone, grid), attained(one, grid), step="pre", color=color, alpha=0.12, lw=0)
    panel.step(
        *_staircase(half), where="pre", color=color, lw=1.6, marker=marker, markersize=size**0.5 - 0.7,
        markevery=slice(1, None), label=name,
    )  # fmt: skip


def _staircase(surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a surface, from sparsity 0 on."""
    if not len(surface):
        return np.array([0.0]), np.array([np.nan])
    return np.concatenate([[0.0], surface[:, 0]]), np.concatenate([surface[:1, 1], surface[:, 1]])


def _all_staircases(lines: pd.DataFrame) -> np.ndarray:
    """The staircases of all methods as one line with gaps, 2 × corners."""
    steps = [_staircase(line[["x", "y"]].to_numpy(float)) for _, line in lines.groupby("label", sort=False)]
    gap = np.full((2, 1), np.nan)
    return np.concatenate([part for step in steps for part in (np.array(step), gap)] or [gap], axis=1)


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

"""Records to Pareto figures."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmark.analysis.frame import CONTROL, SCRATCH, controls
from benchmark.analysis.intervals import Interval, spread
from benchmark.analysis.pareto import attained
from benchmark.analysis.summary import HANDICAPPED, handicapped, marked
from benchmark.figures.drawing import Drawing, add_texts
from benchmark.figures.marks import collect_marks
from benchmark.figures.style import COLORS, SCREEN, TIGHT, Color, Page, dashes, looks, plain, style

AXES = {
    "param_sparsity": "parameters removed (%)",
    "mac_sparsity": "multiply-accumulates removed (%)",
    "channel_sparsity": "hidden channels removed (%)",
    "weight_sparsity": "weights that are zero or removed (%)",
}
ZOOM = 10.0  # accuracy points below dense that the main panel shows; what is lower has a panel of its own
VECTORS = 500  # trials of a method beyond which its points are an image, also in PDF and SVG
MANY = 10  # labels beyond which each gets a panel of its own


@dataclass(frozen=True)
class Look:
    """How a method is drawn in a panel: its name in the legend, colour and marker, and the marker's area."""

    label: str
    name: str | None
    color: Color
    marker: str
    size: float


def draw_all(records: pd.DataFrame, titles: Mapping[str, str], lacking: str = "") -> Iterator[Drawing]:
    """One Pareto figure per task and kind of sparsity, titled by task.

    `lacking` says what the study lacks, for the captions.
    """
    for task, group in records.groupby("task", sort=False):
        for kind in AXES:
            yield draw_pareto(group, kind, titles[str(task)], lacking=lacking)


def draw_pareto(records: pd.DataFrame, kind: str, title: str, page: Page = SCREEN, lacking: str = "") -> Drawing:
    """The Pareto figure of one task, whose points are all its marks: all methods in one panel, or many in one each."""
    records, text = marked(records), caption(records, lacking)
    marks = collect_marks(records, kind)
    with mpl.rc_context(page.settings):
        figure = _draw(records, marks, kind, page)
        if not page.print:
            add_texts(figure, title, text)
    name = f"pareto-{records.task.iloc[0]}-{kind.removesuffix('_sparsity')}"
    return Drawing(name, figure, marks, text.replace("\n", " "), page)


def _draw(records: pd.DataFrame, marks: pd.DataFrame, kind: str, page: Page) -> Figure:
    band = dense_band(records)
    floor = (band.mean if band.n else 100 * records.test_accuracy.max()) - ZOOM
    one = records.label.nunique() <= MANY
    figure = _draw_one(records, marks, band, floor, page) if one else _draw_many(records, marks, band, floor, page)
    least = 100 * records[kind].min()  # below 0 where carriers take more than removal saves
    for panel in figure.axes:
        panel.set_xlim(min(-2, least - 2), 102)
    figure.supxlabel(AXES[kind], fontsize=page.font)
    if one and page.print:  # not beside the legend on top
        figure.axes[0].set_ylabel("test accuracy (%)", fontsize=page.font)
    else:
        figure.supylabel("test accuracy (%)", fontsize=page.font)
    return figure


def dense_band(records: pd.DataFrame) -> Interval:
    """The test accuracy of one task's dense control in %, with its interval over seeds."""
    return spread(100 * controls(records).test_accuracy, most=100)


def _draw_one(records: pd.DataFrame, marks: pd.DataFrame, band: Interval, floor: float, page: Page) -> Figure:
    lowest = 100 * records.test_accuracy.min()
    broken = lowest < floor
    lines = sum(1 + _legend(records, label, page.wrap).count("\n") for label in records.label.unique())
    height = 2.7 + 0.075 * lines if page.print else 4.6  # the legend, in two columns, stands over the panels
    figure = Figure(figsize=(page.one, height), layout="constrained")
    heights = [5, 1] if broken else [5]
    panels = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights).ravel()
    size = 9 if page.print else 22
    spans = [(floor, np.inf), (-np.inf, floor)] if broken else [(-np.inf, np.inf)]
    styles = looks(_methods(records))
    for panel, span in zip(panels, spans, strict=True):
        _draw_band(panel, band, _legend(records, CONTROL, page.wrap) if band.n else None)
        for label in _methods(records):
            mine, name = marks[marks.label == label], _legend(records, label, page.wrap)
            _draw_method(panel, mine, span, Look(label, name, *styles[label], size), page)
    panels[0].set_ylim(top=_top(records))
    if broken:
        panels[0].set_ylim(bottom=floor)
        panels[1].set_ylim(min(0, lowest), floor)
        _break(*panels)
    entries = panels[0].get_legend_handles_labels()
    if page.print:
        figure.legend(*entries, loc="outside upper left", frameon=False, ncols=2, **TIGHT, title=_key(records))
    else:
        figure.legend(*entries, loc="outside right upper", frameon=False)
    return figure


def _key(records: pd.DataFrame) -> str:
    band = dense_band(records)
    return f"points: trials; lines: what at least half of {records.seed.nunique()} seeds\nattain; bands: all to one" + (
        f"; grey: dense, {band.ends}" if band.n else ""
    )


def _draw_many(records: pd.DataFrame, marks: pd.DataFrame, band: Interval, floor: float, page: Page) -> Figure:
    """One panel per method in its colour, over the lines of all others in grey; triangles are points below the axis."""
    labels = _methods(records)
    rows = math.ceil(len(labels) / page.columns)
    figure = Figure(figsize=(page.many, page.row * rows), layout="constrained")
    panels = list(figure.subplots(rows, page.columns, sharex=True, sharey=True, squeeze=False).flat)
    lines = marks[marks.mark == "attained by half"]
    others, beat = _all_staircases(lines), _all_staircases(lines[lines.label == SCRATCH])
    styles = looks(labels)
    for label, panel in zip(labels, panels, strict=False):
        _draw_band(panel, band, None)
        panel.step(*others, where="pre", color="0.8", lw=0.6)
        panel.step(*beat, where="pre", color=style(SCRATCH)[0], ls=dashes(SCRATCH), lw=0.8)
        mine, look = marks[marks.label == label], Look(label, None, *styles[label], size=9)
        _draw_method(panel, mine, (floor, np.inf), look, page)
        below = mine[(mine.mark == "trial") & (mine.y < floor)]
        panel.scatter(below.x, [floor + 0.4] * len(below), marker="v", s=12, color=look.color, clip_on=False)
        panel.set_title(_legend(records, label, page.title), fontsize=page.small, pad=2)
        panel.tick_params(labelsize=page.small)
        panel.set_ylim(floor, _top(records))
    for panel in panels[len(labels) :]:
        panel.set_axis_off()
    for panel in panels[max(0, len(labels) - page.columns) : len(labels)]:  # the lowest of each column
        panel.tick_params(labelbottom=True)
    if page.print:
        _draw_key(figure, records, page)
    return figure


def _draw_key(figure: Figure, records: pd.DataFrame, page: Page) -> None:
    """What the marks of small panels mean, over all of them."""
    dense = Patch(color="0.5", alpha=0.25, lw=0), Line2D([], [], color="0.3", ls="--")
    band = dense_band(records)
    marks = {
        f"attained by at least half of {records.seed.nunique()} seeds": Line2D([], [], color=COLORS[0], lw=page.line),
        "from all to one of them": Patch(color=COLORS[0], alpha=0.25, lw=0),
        **({f"dense, {band.ends}": dense} if band.n else {}),
        "other methods": Line2D([], [], color="0.8", lw=0.8),
        "trials": Line2D([], [], color=COLORS[0], ls="none", marker="o", markersize=3, alpha=0.35),
        "trials below the axis": Line2D([], [], color=COLORS[0], ls="none", marker="v", markersize=4),
    }
    if SCRATCH in set(records.label):
        marks["from scratch, the line to beat"] = Line2D([], [], color=style(SCRATCH)[0], ls=dashes(SCRATCH), lw=0.8)
    figure.legend(marks.values(), marks, loc="outside upper left", ncols=3, frameon=False, **TIGHT)


def _top(records: pd.DataFrame) -> float:
    return min(100.2, 100 * records.test_accuracy.max() + 0.7)


def _methods(records: pd.DataFrame) -> list[str]:
    return [label for label in records.label.unique() if label != CONTROL]


def caption(records: pd.DataFrame, lacking: str = "") -> str:
    """What a Pareto figure of these records shows, with n and how intervals are made."""
    seeds, band = records.seed.nunique(), dense_band(records)
    bad = _failures(records[records.label == CONTROL])
    dense = f"Grey band: dense control, mean and {band.ends}" if band.n else "No dense control with a result"
    return (
        f"Points: trials, n = {seeds} seeds. Lines: attained by at least half of the seeds, bands from all to one of "
        "them; fronts chosen on validation, drawn on test.\n"
        + dense
        + (f" ({bad})." if bad else ".")
        + (" Black dashed line: from scratch, the line to beat." if SCRATCH in set(records.label) else "")
        + (" Grey lines: the other methods. ▼: trials below the axis." if records.label.nunique() > MANY else "")
        + "\n".join(["", *textwrap.wrap(((HANDICAPPED if handicapped(records) else "") + lacking).strip(), 140)])
    )


def _draw_band(panel: Axes, band: Interval, name: str | None) -> None:
    if band.n:
        low, high = (band.low, band.high) if band.n > 1 else (band.mean, band.mean)
        panel.axhspan(low, high, color="0.5", alpha=0.25, lw=0)
        panel.axhline(band.mean, color="0.3", lw=1, ls="--", label=name)


def _break(upper: Axes, lower: Axes) -> None:
    """Marks the vertical axis as broken between two panels."""
    upper.spines.bottom.set_visible(False)
    upper.tick_params(bottom=False)
    slash = {"marker": [(-1, -0.6), (1, 0.6)], "markersize": 8, "ls": "none", "color": "black", "mew": 1}
    for panel, end in ((upper, 0), (lower, 1)):
        panel.plot(0, end, transform=panel.transAxes, clip_on=False, **slash)


def _draw_method(panel: Axes, marks: pd.DataFrame, span: tuple[float, float], look: Look, page: Page) -> None:
    """A method's trials as faint points, and what half of its seeds attain as a line within a band.

    Of the markers those within the panel's span of accuracies, whole where they lie on its edge.
    """
    color, marker, size = look.color, look.marker, look.size
    trials = marks[(marks.mark == "trial") & marks.y.between(*span, inclusive="left")]
    faint = {"alpha": 0.35, "lw": 0, "rasterized": len(trials) > VECTORS}
    dots = {"color": color, "marker": marker, "clip_on": False}
    sns.scatterplot(x=trials.x, y=trials.y, ax=panel, legend=False, s=size, **dots, **faint)
    panel.set(xlabel=None, ylabel=None)
    one, half, everyone = (
        marks[marks.mark == f"attained by {m}"][["x", "y"]].to_numpy() for m in ("one", "half", "all")
    )
    grid = np.unique(np.concatenate([[0.0], one[:, 0], everyone[:, 0]]))
    panel.fill_between(grid, attained(everyone, grid), attained(one, grid), step="pre", color=color, alpha=0.12, lw=0)
    line = {"color": color, "ls": dashes(look.label), "lw": page.line, "zorder": 3 if look.label == SCRATCH else 2}
    inside = [bool(span[0] <= y < span[1]) for y in half[:, 1]]
    corners = {"marker": marker, "markersize": size**0.5 - 0.7, "markevery": [False, *inside]}
    panel.step(*_staircase(half), where="pre", label=look.name, **line, **corners)


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


def _legend(records: pd.DataFrame, label: str, wrap: int) -> str:
    """The method's title, with how many of its trials did not end well."""
    mine = records[records.label == label]
    bad = _failures(mine)
    lines = [mine.title.iloc[0], *([f"({bad})"] if bad else [])]
    return plain("\n".join(textwrap.fill(line, wrap, break_on_hyphens=False) for line in lines))


def _failures(records: pd.DataFrame) -> str:
    """How many of one method's trials did not end well; empty if all did."""
    bad = Counter(records.status[records.status != "ok"])
    counts = ", ".join(f"{count} {status}" for status, count in sorted(bad.items()))
    return f"{counts} of {len(records)}" if counts else ""

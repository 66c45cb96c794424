"""The figures of a conditions study: sparsity by two factors, and by factor over norms, epochs and thresholds."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.analysis.conditions import NEAR_ZERO, Levels, by_level, measured, short_keys
from benchmark.experiment.coverage import unfinished
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.figures.heatmap import draw_heatmap
from benchmark.figures.style import COLORS, SCREEN, STYLE, TIGHT, Page, write_figure

Drawn = tuple[Figure, pd.DataFrame, str]
Points = Callable[[Record], tuple[list[float], list[float]]]
SMALLEST, LARGEST = -20.0, 2.0  # log₁₀ of the norms that histograms tell apart; the end bins hold what lies outside
BIN = 0.25
DASHES = ((4, 1.5), (1, 1), (6, 1.5, 1, 1.5), (8, 3), (3, 1, 1, 1, 1, 1), (1, 3), (5, 5))
LINES = ("-", *((0, dashes) for dashes in DASHES))


def draw(study: Study, records: list[Record], page: Page = SCREEN) -> dict[str, Drawn]:
    """Every figure of the study by name, with the points drawn in it and what it shows in words."""
    levels = by_level(study, records)
    single = {level: own for level, own in levels.items() if level[0] in study.conditions.factors}
    crossed = {level: own for level, own in levels.items() if level not in single}
    drawn = {
        "norms": draw_histograms(single, page),
        "epochs": draw_lines(single, _by_epoch, "epoch", f"channels with ‖w‖ < {NEAR_ZERO} (%)", page),
        "thresholds": draw_lines(single, _by_threshold, "threshold ξ", "channels with ‖w‖ < ξ (%)", page),
    }
    if crossed:
        drawn["heatmap"] = draw_heatmap(study, crossed, page)
    lacking = unfinished(study, records)
    return {f"conditions-{name}": (figure, points, text + lacking) for name, (figure, points, text) in drawn.items()}


def draw_all(study: Study, records: list[Record], folder: Path) -> list[Path]:
    """Writes every figure of the study as PNG, PDF, SVG and CSV, its title and caption around it; returns the paths."""
    made = []
    with mpl.rc_context(STYLE):
        for name, (figure, points, text) in draw(study, records).items():
            figure.suptitle(study.title, x=0.01, ha="left", fontsize=SCREEN.font)
            figure.text(0.01, -0.01, textwrap.fill(text, 130), fontsize=SCREEN.small, va="top", color="0.3")
            made += write_figure(figure, points, folder / name)
    return made


def draw_histograms(levels: Levels, page: Page = SCREEN) -> Drawn:
    """log₁₀ ‖w_k‖₂ of all channels, all seeds together: a panel per factor, a row per level."""
    rows = [
        {"factor": factor, "level": level, "n": len(own), "log10 norm": edge, "share": share, "keys": keys}
        for (factor, level), every in levels.items()
        for own in [measured(every)]
        for keys in [short_keys(own)]
        for edge, share in zip(_edges(), _shares(own), strict=True)
    ]
    points = pd.DataFrame(rows)

    def draw(panel: Axes, factor: str) -> None:
        own = points[points.factor == factor]
        names = list(own.level.unique())[::-1]
        for place, name in enumerate(names):
            shares = own.share[own.level == name].to_numpy()
            height = place + 0.9 * shares / max(shares.max(), 1e-12)
            panel.stairs(height, [*_edges(), LARGEST], baseline=place, fill=True, color=COLORS[0], alpha=0.7, lw=0)
        panel.set_yticks(np.arange(len(names)), names)
        panel.set_ylim(0, len(names))
        panel.set_xlim(SMALLEST - 1, LARGEST)  # the bin of zeros stands clear of the axis

    figure = _by_factor(levels, draw, 3, 2.0, page)
    figure.supxlabel("log₁₀ ‖w_k‖ of a hidden channel's incoming weights", fontsize=page.font)
    text = (
        f"Norms of the incoming weights of all hidden channels after training, {_counts(levels)}. Each row is scaled "
        "to its highest bin; the first bin holds zeros and all that is below 1e-20."
    )
    return figure, points, text


def draw_lines(levels: Levels, values: Points, x: str, y: str, page: Page = SCREEN) -> Drawn:
    """Lines of the mean over seeds within bands from the least to the most of them: a panel per factor."""
    log = values is _by_threshold
    rows = [
        {"factor": factor, "level": level, "seed": record.seed, "x": at, "y": 100 * value, "keys": short_keys([record])}
        for (factor, level), every in levels.items()
        for record in measured(every)
        for at, value in zip(*values(record), strict=True)
    ]
    points = pd.DataFrame(rows, columns=["factor", "level", "seed", "x", "y", "keys"])

    def draw(panel: Axes, factor: str) -> None:
        own = points[points.factor == factor]
        for index, name in enumerate(own.level.unique()):
            seeds = own[own.level == name].groupby("x").y
            mean, low, high = seeds.mean(), seeds.min(), seeds.max()
            panel.plot(mean.index, mean, color=COLORS[index], ls=LINES[index % len(LINES)], lw=1.4, label=name)
            panel.fill_between(mean.index, low, high, color=COLORS[index], alpha=0.2, lw=0)
        if log:
            panel.set_xscale("log")
        panel.set_ylim(-3, 103)
        if len(own):
            panel.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=page.small, frameon=False, **TIGHT)

    figure = _by_factor(levels, draw, 2, 1.6, page)
    figure.supxlabel(x, fontsize=page.font)
    figure.supylabel(y, fontsize=page.font)
    what, when = y.removesuffix(" (%)"), "after training" if log else "after each epoch"
    text = f"Share of the hidden {what} {when}: means over {_counts(levels)}, bands from the least to the most."
    return figure, points, text


def _counts(levels: Levels) -> str:
    """Over how many seeds levels are, and how many of their trials failed."""
    numbers = [len(measured(own)) for own in levels.values()]
    failed = sum(len({r.key for r in own if not r.measured}) for own in levels.values())
    text = f"n = {min(numbers)} to {max(numbers)} seeds" if min(numbers) < max(numbers) else f"n = {max(numbers)} seeds"
    return text + (f" ({failed} trials failed)" if failed else "")


def _by_factor(levels: Levels, draw: Callable[[Axes, str], None], columns: int, height: float, page: Page) -> Figure:
    factors = list(dict.fromkeys(factor for factor, _ in levels))
    rows = -(-len(factors) // columns)
    figure = Figure(figsize=(page.many, 0.4 + height * rows), layout="constrained")
    panels = list(figure.subplots(rows, min(columns, len(factors)), sharex=True, squeeze=False).flat)
    for index, (factor, panel) in enumerate(zip(factors, panels, strict=False)):
        draw(panel, factor)
        panel.set_title(factor, fontsize=page.small)
        panel.tick_params(labelsize=page.small, labelbottom=index + columns >= len(factors))
    for panel in panels[len(factors) :]:
        panel.set_axis_off()
    return figure


def _by_epoch(record: Record) -> tuple[list[float], list[float]]:
    silent = [round(float(share), 6) for share in record.history["silent"]]
    return list(range(1, len(silent) + 1)), silent


def _by_threshold(record: Record) -> tuple[list[float], list[float]]:
    return [float(threshold) for threshold in record.threshold_sweep], list(record.threshold_sweep.values())


def _edges() -> np.ndarray:
    return np.arange(SMALLEST, LARGEST, BIN)


def _shares(records: list[Record]) -> np.ndarray:
    """The share of all the records' channels in each bin, zeros where there is none."""
    counts = np.zeros(len(_edges()))
    for record in records:
        for edge, count in record.norm_histogram.items():
            place = (np.clip(float(edge), SMALLEST, LARGEST - BIN) - SMALLEST) / BIN
            counts[int(place)] += count
    return counts / max(counts.sum(), 1)

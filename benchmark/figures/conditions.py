"""The figures of a conditions study: sparsity by two factors, and by factor over norms, epochs and thresholds."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.analysis.conditions import NEAR_ZERO, Levels, by_level, measured, short_keys
from benchmark.experiment.coverage import unfinished
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.figures.drawing import Drawing, add_texts
from benchmark.figures.heatmap import draw_heatmap
from benchmark.figures.style import COLORS, METHOD_COLORS, NORM, SCREEN, TIGHT, Page, plain

SMALLEST, LARGEST = -20.0, 2.0  # log₁₀ of the norms that histograms tell apart; the end bins hold what lies outside
BIN = 0.25
DASHES = ((4, 1.5), (1, 1), (6, 1.5, 1, 1.5), (8, 3), (3, 1, 1, 1, 1, 1), (1, 3), (5, 5))
LINES = ("-", *((0, dashes) for dashes in DASHES))


@dataclass(frozen=True)
class Curve:
    """What a record holds as a curve: the share of its channels at each x, and how a figure shows that."""

    name: str
    points: Callable[[Record], tuple[list[float], list[float]]]
    x: str
    channels: str  # which ones are counted
    when: str
    log: bool = False


def _by_epoch(record: Record) -> tuple[list[float], list[float]]:
    silent = [round(float(share), 6) for share in record.history["silent"]]
    return list(range(1, len(silent) + 1)), silent


def _by_threshold(record: Record) -> tuple[list[float], list[float]]:
    return [float(threshold) for threshold in record.threshold_sweep], list(record.threshold_sweep.values())


EPOCHS = Curve("epochs", _by_epoch, "epoch", f"channels with ‖w‖ < {NEAR_ZERO}", "after each epoch")
THRESHOLDS = Curve("thresholds", _by_threshold, "threshold ξ", "channels with ‖w‖ < ξ", "after training", log=True)


def draw(study: Study, records: list[Record], page: Page = SCREEN) -> list[Drawing]:
    """Every figure of the study, for the screen with its title and caption around it."""
    levels = by_level(study, records)
    single = {level: own for level, own in levels.items() if level[0] in study.conditions.factors}
    crossed = {level: own for level, own in levels.items() if level not in single}
    with mpl.rc_context(page.settings):
        drawn = [draw_histograms(single, page), draw_lines(single, EPOCHS, page), draw_lines(single, THRESHOLDS, page)]
        if crossed:
            drawn.append(draw_heatmap(study, crossed, page))
        lacking = unfinished(study, records)
        drawn = [replace(drawing, caption=drawing.caption + lacking) for drawing in drawn]
        if not page.print:
            for drawing in drawn:
                add_texts(drawing.figure, study.title, textwrap.fill(drawing.caption, 130))
    return drawn


def draw_histograms(levels: Levels, page: Page = SCREEN) -> Drawing:
    """log₁₀ ‖w_k‖₂ of all channels, all seeds together: a panel per factor, a row per level."""
    rows = []
    for (factor, level), every in levels.items():
        own = measured(every)
        n, keys = len(own), short_keys(own)
        rows += [(factor, level, n, edge, share, keys) for edge, share in zip(_edges(), _shares(own), strict=True)]
    points = pd.DataFrame(rows, columns=["factor", "level", "n", "log10 norm", "share", "keys"])

    def draw(panel: Axes, factor: str) -> None:
        own = points[points.factor == factor]
        names = list(own.level.unique())[::-1]
        for place, name in enumerate(names):
            shares = own.share[own.level == name].to_numpy()
            height = place + 0.9 * shares / max(shares.max(), 1e-12)
            panel.stairs(height, [*_edges(), LARGEST], baseline=place, fill=True, color=COLORS[0], alpha=0.7, lw=0)
        panel.set_yticks(np.arange(len(names)), [plain(name) for name in names])
        panel.set_ylim(0, len(names))
        panel.set_xlim(SMALLEST - 1, LARGEST)  # the bin of zeros stands clear of the axis

    figure = _by_factor(levels, draw, 3, 2.0, page)
    figure.supxlabel(f"log₁₀ {NORM} of a hidden channel's incoming weights", fontsize=page.font)
    text = (
        f"Norms of the incoming weights of all hidden channels after training, {_counts(levels)}. Each row is scaled "
        "to its highest bin; the first bin holds zeros and all that is below 1e-20."
    )
    return Drawing("conditions-norms", figure, points, text, page)


def draw_lines(levels: Levels, curve: Curve, page: Page = SCREEN) -> Drawing:
    """Lines of the mean over seeds within bands from the least to the most of them: a panel per factor."""
    rows = [
        {"factor": factor, "level": level, "seed": record.seed, "x": at, "y": 100 * value, "keys": short_keys([record])}
        for (factor, level), every in levels.items()
        for record in measured(every)
        for at, value in zip(*curve.points(record), strict=True)
    ]
    points = pd.DataFrame(rows, columns=["factor", "level", "seed", "x", "y", "keys"])

    def draw(panel: Axes, factor: str) -> None:
        own = points[points.factor == factor]
        for index, name in enumerate(own.level.unique()):
            seeds = own[own.level == name].groupby("x").y
            mean, low, high = seeds.mean(), seeds.min(), seeds.max()
            panel.plot(
                mean.index,
                mean,
                color=METHOD_COLORS[index % len(METHOD_COLORS)],
                ls=LINES[index % len(LINES)],
                lw=1.4,
                label=plain(name),
            )
            panel.fill_between(mean.index, low, high, color=METHOD_COLORS[index % len(METHOD_COLORS)], alpha=0.2, lw=0)
        if curve.log:
            panel.set_xscale("log")
        panel.set_ylim(-3, 103)
        if len(own):
            panel.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=page.small, frameon=False, **TIGHT)

    figure = _by_factor(levels, draw, 2, 1.6, page)
    figure.supxlabel(curve.x, fontsize=page.font)
    figure.supylabel(f"{curve.channels} (%)", fontsize=page.font)
    text = (
        f"Share of the hidden {curve.channels} {curve.when}: means over {_counts(levels)}, bands from the least to "
        "the most."
    )
    return Drawing(f"conditions-{curve.name}", figure, points, text, page)


def _counts(levels: Levels) -> str:
    """Over how many seeds levels are, and how many of their trials failed."""
    numbers = [len(measured(own)) for own in levels.values()]
    failed = sum(len({r.key for r in own if not r.measured}) for own in levels.values())
    text = f"n = {min(numbers)} to {max(numbers)} seeds" if min(numbers) < max(numbers) else f"n = {max(numbers)} seeds"
    return text + (f" ({failed} trials failed)" if failed else "")


def _by_factor(levels: Levels, draw: Callable[[Axes, str], None], columns: int, height: float, page: Page) -> Figure:
    factors = list(dict.fromkeys(factor for factor, _ in levels))
    rows = math.ceil(len(factors) / columns)
    figure = Figure(figsize=(page.many, 0.4 + height * rows), layout="constrained")
    panels = list(figure.subplots(rows, min(columns, len(factors)), sharex=True, squeeze=False).flat)
    for index, (factor, panel) in enumerate(zip(factors, panels, strict=False)):
        draw(panel, factor)
        panel.set_title(plain(factor), fontsize=page.small)
        panel.tick_params(labelsize=page.small, labelbottom=index + columns >= len(factors))
    for panel in panels[len(factors) :]:
        panel.set_axis_off()
    return figure


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

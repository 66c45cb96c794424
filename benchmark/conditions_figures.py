"""The figures of a conditions study: sparsity by two factors, and by factor over norms, epochs and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.conditions_table import by_level
from benchmark.figures import COLORS, STYLE, write_figure
from benchmark.records import Record
from benchmark.study import Study
from benchmark.tables import MEASURED

Levels = dict[tuple[str, str], list[Record]]  # by factor and level
Points = Callable[[Record], tuple[list[float], list[float]]]
THRESHOLD = "1e-15"  # ξ, as records write it
SMALLEST, LARGEST = -20.0, 2.0  # log₁₀ of the norms that histograms tell apart; the end bins hold what lies outside
BIN = 0.25
COLUMNS = 3
DASHES = ((4, 1.5), (1, 1), (6, 1.5, 1, 1.5), (8, 3), (3, 1, 1, 1, 1, 1), (1, 3), (5, 5))
LINES = ("-", *((0, dashes) for dashes in DASHES))


def draw_all(study: Study, records: list[Record], folder: Path) -> list[Path]:
    """Draws every figure of the study as PNG, PDF, SVG and CSV; returns the paths."""
    levels = by_level(study, records)
    single = {level: own for level, own in levels.items() if level[0] in study.conditions.factors}
    crossed = [own for level, own in levels.items() if level not in single]
    with mpl.rc_context(STYLE):
        drawn = {
            "norms": draw_histograms(single),
            "epochs": draw_lines(single, _by_epoch, "epoch", "channels with ‖w‖ < 1e-15 (%)", log=False),
            "thresholds": draw_lines(single, _by_threshold, "threshold ξ", "channels with ‖w‖ < ξ (%)", log=True),
        }
        if crossed:
            drawn["heatmap"] = draw_heatmap(crossed, study)
        made = []
        for name, (figure, points) in drawn.items():
            figure.suptitle(study.title, x=0.01, ha="left", fontsize=9)
            made += write_figure(figure, points, folder / f"conditions-{name}")
    return made


def draw_heatmap(records: list[list[Record]], study: Study) -> tuple[Figure, pd.DataFrame]:
    """Channels with ‖w_k‖₂ < 1e-15 by the two crossed factors, with the test accuracy; means over seeds.

    A cell says how many seeds it is of where that is not all, and how many trials failed.
    """
    rows, columns = study.conditions.crossed
    row_names, column_names = (list(study.conditions.factors[factor]) for factor in (rows, columns))
    cells = iter(records)
    points = pd.DataFrame(
        {
            rows: row, columns: column, "n": len(own), "failed": len(every) - len(own),
            "sparsity": _mean([100 * r.threshold_sweep[THRESHOLD] for r in own]),
            "accuracy": _mean([100 * r.test_accuracy for r in own]), "keys": _keys(own),
        }
        for row in row_names for column in column_names
        for every in [next(cells)] for own in [_measured(every)]
    )  # fmt: skip
    shape = len(row_names), len(column_names)
    sparsity = points.sparsity.to_numpy().reshape(shape)
    figure = Figure(figsize=(1.6 + 0.9 * shape[1], 1.2 + 0.5 * shape[0]), layout="constrained")
    panel = figure.subplots()
    sns.heatmap(
        sparsity, cmap="cividis", vmin=0, vmax=100, ax=panel, linewidths=0.5,
        xticklabels=column_names, yticklabels=row_names, cbar_kws={"label": "channels with ‖w‖ < 1e-15 (%)"},
    )  # fmt: skip
    panel.set_facecolor("0.9")
    panel.set(xlabel=columns, ylabel=rows)
    seeds = len(study.seeds)
    for place, cell in enumerate(points.itertuples()):
        y, x = divmod(place, shape[1])
        color = "white" if cell.sparsity < 50 else "black"
        panel.text(x + 0.5, y + 0.5, _cell(cell, seeds), ha="center", va="center", fontsize=6.5, color=color)
    note = (
        f"In brackets: test accuracy (%). Means over n = {seeds} seeds where no other n is given; grey: no result, "
        "–: no record."
    )
    figure.text(0.01, -0.01, note, fontsize=7, va="top", color="0.3")
    return figure, points


def _cell(cell: tuple, seeds: int) -> str:
    """What stands in a cell of the heat map."""
    lines = [f"{cell.sparsity:.0f} %", f"({cell.accuracy:.1f})"] if cell.n else []
    counts = [f"n = {cell.n}"] * (0 < cell.n < seeds) + [f"{cell.failed} failed"] * (cell.failed > 0)
    return "\n".join([*lines, *counts]) or "–"


def _keys(records: list[Record]) -> str:
    """The records that a mark comes from, by as many digits of their keys as a page shows."""
    return " ".join(r.key[:12] for r in records)


def _measured(records: list[Record]) -> list[Record]:
    return [r for r in records if r.status in MEASURED]


def draw_histograms(levels: Levels) -> tuple[Figure, pd.DataFrame]:
    """log₁₀ ‖w_k‖₂ of all channels, all seeds together: a panel per factor, a row per level."""
    rows = [
        {"factor": factor, "level": level, "n": len(own), "log10 norm": edge, "share": share, "keys": keys}
        for (factor, level), every in levels.items()
        for own in [_measured(every)]
        for keys in [_keys(own)]
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
        panel.set_xlim(SMALLEST, LARGEST)

    figure = _by_factor(levels, draw, "log₁₀ ‖w_k‖ of a hidden channel's incoming weights", None)
    note = (
        f"All channels of {_counts(levels)}. Each row is scaled to its highest bin. The first bin holds zeros and all "
        "that is below 1e-20."
    )
    figure.text(0.01, -0.01, note, fontsize=7, va="top", color="0.3")
    return figure, points


def draw_lines(levels: Levels, values: Points, x: str, y: str, log: bool) -> tuple[Figure, pd.DataFrame]:
    """Lines of the mean over seeds within bands from the least to the most of them: a panel per factor."""
    rows = [
        {"factor": factor, "level": level, "seed": record.seed, "x": at, "y": 100 * value, "key": _keys([record])}
        for (factor, level), every in levels.items()
        for record in _measured(every)
        for at, value in zip(*values(record), strict=True)
    ]
    points = pd.DataFrame(rows, columns=["factor", "level", "seed", "x", "y", "key"])

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
            panel.legend(fontsize=6, framealpha=0.7, edgecolor="none", labelspacing=0.2)

    figure = _by_factor(levels, draw, x, y)
    note = f"Means over {_counts(levels)}, bands from the least to the most."
    figure.text(0.01, -0.01, note, fontsize=7, va="top", color="0.3")
    return figure, points


def _counts(levels: Levels) -> str:
    """Over how many seeds levels are, and how many of their trials failed."""
    numbers = [len(_measured(own)) for own in levels.values()]
    failed = sum(len({r.key for r in own if r.status not in MEASURED}) for own in levels.values())
    text = f"n = {min(numbers)} to {max(numbers)} seeds" if min(numbers) < max(numbers) else f"n = {max(numbers)} seeds"
    return text + (f" ({failed} trials failed)" if failed else "")


def _by_factor(levels: Levels, draw: Callable[[Axes, str], None], x: str, y: str | None) -> Figure:
    factors = list(dict.fromkeys(factor for factor, _ in levels))
    count = -(-len(factors) // COLUMNS)
    figure = Figure(figsize=(7.2, 0.4 + 2.0 * count), layout="constrained")
    panels = list(figure.subplots(count, min(COLUMNS, len(factors)), sharex=True, squeeze=False).flat)
    for index, (factor, panel) in enumerate(zip(factors, panels, strict=False)):
        draw(panel, factor)
        panel.set_title(factor, fontsize=8)
        panel.tick_params(labelsize=7, labelbottom=index + COLUMNS >= len(factors))
    for panel in panels[len(factors) :]:
        panel.set_axis_off()
    figure.supxlabel(x, fontsize=9)
    if y:
        figure.supylabel(y, fontsize=9)
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


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else np.nan

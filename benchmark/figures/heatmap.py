"""The heat map of a conditions study: channels that are never active, by the two factors that it crosses."""

from __future__ import annotations

import itertools

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmark.analysis.conditions import NEAR_ZERO, Levels, measured, short_keys
from benchmark.analysis.intervals import decimal, spread
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.figures.drawing import Drawing
from benchmark.figures.style import SCREEN, Page, plain


def draw_heatmap(study: Study, levels: Levels, page: Page = SCREEN) -> Drawing:
    """Channels never active, and with ‖w_k‖₂ < 1e-15, by the two crossed factors, with the accuracy; means over seeds.

    `levels` are the combinations, in the factors' order. A cell says how many seeds it is of where that is not all, and
    how many trials failed. The points are the cells, in %.
    """
    factors = study.conditions.crossed
    names = [list(study.conditions.factors[factor]) for factor in factors]
    pairs = zip(itertools.product(*names), levels.values(), strict=True)
    cells = pd.DataFrame([dict(zip(factors, pair, strict=True)) | _cell(records) for pair, records in pairs])
    shape = len(names[0]), len(names[1])
    figure = Figure(figsize=(min(1.6 + 0.9 * shape[1], page.many), 1.2 + 0.6 * shape[0]), layout="constrained")
    panel = figure.subplots()
    bar = {"label": "channels never active (%)"}
    shares = pd.DataFrame(
        cells["never active"].to_numpy(float).reshape(shape), index=map(plain, names[0]), columns=map(plain, names[1])
    )
    sns.heatmap(shares, cmap="cividis", vmin=0, vmax=100, ax=panel, linewidths=0.5, cbar_kws=bar)
    panel.set_facecolor("0.9")
    panel.set(xlabel=plain(factors[1]), ylabel=plain(factors[0]))
    seeds = len(study.seeds)
    for place, cell in enumerate(cells.to_dict("records")):
        y, x = divmod(place, shape[1])
        color = "white" if cell["never active"] < 50 else "black"
        panel.text(x + 0.5, y + 0.5, _text(cell, seeds), ha="center", va="center", fontsize=page.small, color=color)
    text = (
        f"Hidden channels never active after training (first line and colour) and with ‖w‖ < {NEAR_ZERO} (second "
        f"line), by {factors[0]} and {factors[1]}; in brackets the test accuracy (%). Means over n = {seeds} seeds "
        "where no other n is given; grey: not known, –: no record."
    )
    return Drawing("conditions-heatmap", figure, cells, text, page)


def _cell(records: list[Record]) -> dict:
    own = measured(records)
    return {
        "n": len(own),
        "failed": len(records) - len(own),
        "never active": 100 * spread([r.never_active for r in own]).mean,
        "sparsity": 100 * spread([r.threshold_sweep.get(NEAR_ZERO) for r in own]).mean,
        "accuracy": 100 * spread([r.test_accuracy for r in own]).mean,
        "keys": short_keys(own),
    }


def _text(cell: dict, seeds: int) -> str:
    """What stands in a cell."""
    shares = [f"{cell[name]:.0f} %".replace("nan %", "–") for name in ("never active", "sparsity")]
    lines = [*shares, f"({decimal(cell['accuracy'])})"] if cell["n"] else []
    if 0 < cell["n"] < seeds:
        lines.append(f"n = {cell['n']}")
    if cell["failed"]:
        lines.append(f"{cell['failed']} failed")
    return "\n".join(lines) or "–"

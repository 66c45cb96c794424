"""The figure of `deadweight trajectories`: how channels of one run die."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from benchmark.experiment.record import SILENT, Record
from benchmark.figures.drawing import Drawing
from benchmark.figures.style import METHOD_COLORS, NORM, STYLE
from benchmark.method.registry import get_method

COLUMNS = ("channel", "last activation", "step", "run", "alone")
COMPARED = 1e-15  # norms below which the run and the penalty alone are not compared: sums of squares underflow


def describe(curves: pd.DataFrame, record: Record) -> str:
    """What the figure shows, in words."""
    compared = curves[curves.run > COMPARED]
    worst = 100 * (compared.alone / compared.run - 1).abs().max()
    count = curves.channel.nunique()
    channels = "1 channel" if count == 1 else f"{count} channels"
    return (
        f"{record.task.name}, {record.label}, seed {record.seed}: {channels}; from its last "
        f"activation on, the penalty alone moves each one's norm as the run does, within {worst:.2g} % down to "
        f"{COMPARED:g}."
    )


def draw(curves: pd.DataFrame, record: Record) -> Drawing:
    """‖w_k‖₂ of each channel in the run, its last activation marked, and dashed from there the penalty alone."""
    with mpl.rc_context(STYLE):
        figure = _draw(curves, record)
    return Drawing(f"trajectories-{record.short_key}", figure, curves, describe(curves, record))


def _draw(curves: pd.DataFrame, record: Record) -> Figure:
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    panel = figure.subplots()
    for index, (_, own) in enumerate(curves.groupby("channel", sort=False)):
        color = METHOD_COLORS[index % len(METHOD_COLORS)]
        panel.plot(own.step, own.run, color=color, lw=1.4, alpha=0.8)
        panel.plot(own.step, own.alone, color="black", lw=0.8, ls=(0, (3, 2)))
        stop = own[own.step == own["last activation"]]
        panel.plot(stop.step, stop.run, ls="none", marker="o", markersize=5, color=color, mec="black", mew=0.6)
    panel.plot([], [], color="0.5", lw=1.4, label="in the run, a colour per channel")
    panel.plot([], [], ls="none", marker="o", markersize=5, color="0.8", mec="black", mew=0.6, label="last activation")
    panel.plot([], [], color="black", lw=0.8, ls=(0, (3, 2)), label="from there g = λw alone, same optimiser state")
    panel.axhline(SILENT, color="0.5", lw=0.8, ls=":")
    panel.set(yscale="log", ylim=(1e-20, 20), xlabel="optimiser step")
    panel.set_ylabel(f"{NORM} of the channel's incoming weights")
    panel.legend(frameon=False, fontsize=8)
    strength = record.setting.hyperparameters.get("strength")
    title = f"{record.task.words}, {get_method(record.setting.method).title}, λ = {strength:g}, seed {record.seed}"
    panel.set_title(title, loc="left", fontsize=9)
    return figure

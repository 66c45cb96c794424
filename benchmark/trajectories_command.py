"""The command that follows dying channels through a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import pandas as pd
import typer
from matplotlib.figure import Figure
from rich.console import Console

from benchmark.errors import UsageError
from benchmark.fetch import DataRoot, use_data_root
from benchmark.records import Record, Store
from benchmark.spec import Trial
from benchmark.study import load_study
from benchmark.take_home import find
from benchmark.train import SILENT

CHANNELS = 12
SHOWN = 1e-15  # norms below which the run and the simulation are not compared: float32 ends there in noise
console = Console()


def follow_channels(
    study: Annotated[str, typer.Argument(help="A study's name or .toml file.")],
    key: Annotated[str, typer.Argument(help="The record's key, or its first digits.")],
    results: Annotated[Path, typer.Option(help="The folder that holds a folder of results per study.")] = Path(
        "results"
    ),
    data_root: DataRoot = None,
) -> None:
    """Train a record's trial again and draw how channels that no batch activates any more die, beside g = λw alone.

    Example: deadweight trajectories digits 0a1b2c
    """
    from benchmark.figures import STYLE, write_figure
    from benchmark.trajectories import follow

    use_data_root(data_root)
    plan = load_study(study)
    record = find(Store(results / plan.name), key)
    trial = Trial(**{name: getattr(record, name) for name in Trial.model_fields})
    try:
        with console.status("training") as status:
            paths, history = follow(trial, CHANNELS, status.update)
    except ValueError as error:
        raise UsageError(f"no trajectories of {record.label} {record.key[:8]}: {error}") from None
    if history.loss != record.history["loss"][: len(history.loss)]:
        raise UsageError(
            f"here the trial gives another loss than its record {record.key[:8]}: other hardware or versions"
        )
    curves = pd.concat([_curve(path) for path in paths], ignore_index=True)
    with mpl.rc_context(STYLE):
        made = write_figure(draw(curves, record), curves, results / plan.name / "figures" / f"trajectories-{key[:8]}")
    apart = curves[curves["in the run"] > SHOWN]
    worst = (apart["penalty alone"] / apart["in the run"] - 1).abs()
    console.print(
        f"{len(paths)} channels: penalty alone is within {100 * worst.median():.2g} % of the run at the median step, "
        f"{100 * worst.max():.2g} % at the worst; wrote {made[0]}",
        soft_wrap=True,
    )


def _curve(path) -> pd.DataFrame:
    """One channel's two norms at steps that lie evenly on a logarithmic axis."""
    steps = np.unique(np.geomspace(1, len(path.real), 300).round().astype(int)) - 1
    return pd.DataFrame(
        {
            "channel": path.channel, "last activation": path.step, "step": steps,
            "in the run": path.real[steps].astype(float), "penalty alone": path.simulated[steps].astype(float),
        }
    )  # fmt: skip


def draw(curves: pd.DataFrame, record: Record) -> Figure:
    """‖w_k‖₂ of each channel from its last activation on: the run in colour, the penalty alone dashed."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    panel = figure.subplots()
    colors = mpl.colormaps["viridis"]
    last = curves["last activation"].max()
    for _, own in curves.groupby("channel"):
        color = colors(0.9 * own["last activation"].iloc[0] / last)
        panel.plot(own.step + 1, own["in the run"], color=color, lw=1.6)
        panel.plot(own.step + 1, own["penalty alone"], color="black", lw=0.8, ls=(0, (3, 2)))
    panel.plot([], [], color=colors(0.0), lw=1.6, label="in the run, stopped early")
    panel.plot([], [], color=colors(0.9), lw=1.6, label="in the run, stopped late")
    panel.plot([], [], color="black", lw=0.8, ls=(0, (3, 2)), label="the same weights and state, g = λw alone")
    panel.axhline(SILENT, color="0.5", lw=0.8, ls=":")
    panel.set(xscale="log", yscale="log", ylim=(1e-20, 20), xlabel="optimiser steps since the last activation")
    panel.set_ylabel("‖w_k‖ of the channel's incoming weights")
    panel.legend(frameon=False, fontsize=8)
    strength = record.setting.hyperparameters.get("strength")
    panel.set_title(f"{record.task.name}, {record.label}, λ = {strength:g}, seed {record.seed}", loc="left", fontsize=9)
    return figure

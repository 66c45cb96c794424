"""The figures of `deadweight dynamics`: the weights of a channel that is never activated, by optimiser."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from benchmark.dynamics.rates import ADAM_RATE
from benchmark.dynamics.simulation import norms, simulate
from benchmark.figures.drawing import Drawing
from benchmark.figures.style import COLORS, METHOD_COLORS

THRESHOLD = 1e-15  # ξ, below which the paper removes a channel
STEPS = 56_280  # 60 epochs of MNIST in batches of 64
STRENGTH = 1e-3
# Name: legend, learning rate as in the paper's setting, colour, dashes.
OPTIMIZERS = {
    "sgd": ("SGD", 0.1, METHOD_COLORS[9], ()),
    "momentum": ("momentum, μ = 0.9", 0.01, COLORS[4], (4, 1.5)),
    "rmsprop": ("RMSprop", ADAM_RATE, COLORS[2], ()),
    "adam": ("Adam + L2", ADAM_RATE, COLORS[0], ()),
    "amsgrad": ("AMSGrad + L2", ADAM_RATE, COLORS[1], (4, 1.5)),
    "adamw": ("AdamW", ADAM_RATE, COLORS[3], (1, 1)),
}


def draw_norm(start: Tensor, generator: torch.Generator, steps: int = STEPS) -> Drawing:
    """‖w‖ against the step for every optimiser, without and with gradient noise."""
    noise = torch.tensor([[0.0], [1e-7]])
    rows = []
    for name, (_, rate, *_) in OPTIMIZERS.items():
        path = norms(simulate(name, start.repeat(2, 1), STRENGTH, steps, rate, noise, generator))
        at = _sample(steps)
        rows += [
            pd.DataFrame({"optimizer": name, "noise": sigma, "step": at, "norm": path[at, row]})
            for row, sigma in enumerate(noise[:, 0].tolist())
        ]
    curves = pd.concat(rows, ignore_index=True)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (sigma, group) in zip(panels, curves.groupby("noise"), strict=True):
        for name, (title, rate, color, dashes) in OPTIMIZERS.items():
            mine = group[(group.optimizer == name) & (group.norm > 0)]
            panel.plot(mine.step, mine.norm, color=color, dashes=dashes or (None, None), label=f"{title}, α = {rate:g}")
        _norm_axes(panel, "g = λw" if sigma == 0 else f"g = λw + noise of σ = {power(sigma)}", steps)
    panels[0].set_ylabel("‖w‖ (16 weights)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"Weights of a channel that is never activated, λ = {power(STRENGTH)}", fontsize=10)
    return Drawing("norm", figure, curves)


def _norm_axes(panel: Axes, title: str, steps: int) -> None:
    panel.set(xscale="log", yscale="log", xlim=(1, steps), ylim=(1e-20, 20), xlabel="optimiser step")
    panel.set_title(title, loc="left", fontsize=9)
    panel.axhline(THRESHOLD, color="0.5", lw=0.8, ls=":")
    panel.annotate("ξ", (0.02, THRESHOLD), xycoords=("axes fraction", "data"), va="bottom", color="0.4")


def _sample(steps: int) -> np.ndarray:
    """Steps to draw: all of the first hundred, then evenly on the log axis."""
    return np.unique(np.concatenate([np.arange(101), np.geomspace(100, steps, 500).round().astype(int)]))


def draw_decoupled(start: Tensor, steps: int = 5000) -> Drawing:
    """Coupled against decoupled decay of the same λ: Adam's fall is the same for all, AdamW's is (1 − αλ)^t."""
    dashes = {1e-3: (None, None), 1e-1: (4, 1.5), 1.0: (1, 1)}
    at = np.arange(0, steps + 1, 10)
    rows = []
    for name, strength in product(("adam", "adamw"), dashes):
        path = norms(simulate(name, start, strength, steps, ADAM_RATE))[at]
        rows.append(pd.DataFrame({"optimizer": name, "strength": strength, "step": at, "norm": path}))
    curves = pd.concat(rows, ignore_index=True)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    panel = figure.subplots()
    for (name, strength), mine in curves.groupby(["optimizer", "strength"], sort=False):
        title, _, color, _ = OPTIMIZERS[name]
        color = COLORS[9] if name == "adam" and strength == 1e-3 else color  # so that curves on one another show
        label = f"{title}, λ = {strength:g}"
        panel.plot(mine.step, mine.norm, color=color, dashes=dashes[strength], label=label)
        if name == "adamw":
            few = at[::40]
            panel.plot(few, (1 - ADAM_RATE * strength) ** few, ls="none", marker="x", markersize=4, color="black")
    panel.plot([], [], ls="none", marker="x", markersize=4, color="black", label="(1 − αλ)ᵗ")
    _norm_axes(panel, "Coupled and decoupled decay, α = 0.001; Adam's three curves coincide", steps)
    panel.set(xscale="linear", xlim=(0, steps), ylabel="‖w‖ (16 weights)")
    panel.legend(frameon=False, loc="center left")
    return Drawing("decoupled", figure, curves)


def power(value: float) -> str:
    """A power of ten as text: 10⁻³."""
    return "10" + str(round(np.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))

"""The figures of `deadweight dynamics` near zero: oscillation, Adam's limit cycle, and what ends it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from benchmark.dynamics.closed_forms import EPSILON, adam_noise_floor, amplitude, boundary
from benchmark.dynamics.norm_figures import OPTIMIZERS, STRENGTH, THRESHOLD, power
from benchmark.dynamics.rates import ADAM_RATE, BOUNDARY, Rate
from benchmark.dynamics.simulation import norms, root_mean_square, simulate
from benchmark.figures.drawing import Drawing
from benchmark.figures.style import COLORS

BETAS = {0.0: (COLORS[2], "s"), 0.5: (COLORS[1], "^"), 0.9: (COLORS[0], "o")}


def draw_oscillation() -> Drawing:
    """One weight on a linear axis: on its way to zero, and in the limit cycles of RMSprop and Adam."""
    parts = []
    for name in ("sgd", "momentum", "rmsprop", "adam"):
        path = simulate(name, torch.tensor([0.05], dtype=torch.float64), STRENGTH, 400, OPTIMIZERS[name][1])
        parts.append(pd.DataFrame({"panel": "start", "optimizer": name, "step": range(401), "w": path[:, 0]}))
    for name, begin, length in (("rmsprop", 8000, 24), ("adam", 30_000, 400)):
        start = torch.tensor([1e-5], dtype=torch.float64)
        path = simulate(name, start, STRENGTH, begin + length, ADAM_RATE)[begin:, 0]
        parts.append(pd.DataFrame({"panel": "cycle", "optimizer": name, "step": range(length + 1), "w": path}))
    curves = pd.concat(parts, ignore_index=True)
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    figure.suptitle(f"Oscillation near zero, αλ/ε = {ADAM_RATE * STRENGTH / EPSILON:g}", fontsize=10)
    left, *others = figure.subplots(1, 3)
    for name, mine in curves[curves.panel == "start"].groupby("optimizer", sort=False):
        title, rate, color, dashes = OPTIMIZERS[name]
        left.plot(mine.step, mine.w, color=color, dashes=dashes or (None, None), label=f"{title}, α = {rate:g}")
    left.axhline(0, color="0.6", lw=0.6)
    left.set(xlabel="optimiser step", ylabel="one weight w")
    left.set_title("on the way to zero", loc="left", fontsize=9)
    left.legend(frameon=False, loc="center right")
    for panel, (name, beta1) in zip(others, (("rmsprop", 0.0), ("adam", 0.9)), strict=True):
        mine = curves[(curves.panel == "cycle") & (curves.optimizer == name)]
        _draw_cycle(panel, mine, name, beta1)
    return Drawing("oscillation", figure, curves)


def _draw_cycle(panel: Axes, mine: pd.DataFrame, name: str, beta1: float) -> None:
    title, rate, color, _ = OPTIMIZERS[name]
    size = amplitude(rate, STRENGTH, beta1)
    marker = {"marker": "o", "markersize": 2.5} if beta1 == 0 else {}
    panel.plot(mine.step, 1e6 * mine.w, color=color, lw=0.8, **marker)
    for sign in (-1, 1):
        panel.axhline(sign * 1e6 * size, color="black", lw=0.9, ls="--", label="closed form" if sign == 1 else None)
    kind = "orbit of period two" if beta1 == 0 else "bursts about the orbit"
    panel.set(xlabel="optimiser step in the cycle", ylabel="one weight w (10⁻⁶)")
    panel.set_ylim(top=1.2 * panel.get_ylim()[1])
    panel.set_title(f"{title}: {kind}", loc="left", fontsize=9)
    panel.legend(frameon=False, loc="upper right")


def draw_boundary(rates: list[Rate], steps: int = 24_000) -> Drawing:
    """The limit cycle's size against αλ/ε, and the boundary found by bisection against β₁, over their closed forms."""
    ratios = torch.logspace(0, 3, 40, dtype=torch.float64)
    rows = []
    for beta1 in BETAS:
        strength = (ratios * EPSILON / ADAM_RATE)[:, None]
        start = torch.full((len(ratios), 4), 1e-9, dtype=torch.float64) * torch.arange(1, 5)
        path = simulate("adam", start, strength, steps, ADAM_RATE, betas=(beta1, 0.999))[steps // 2 :]
        for i, ratio in enumerate(ratios.tolist()):
            closed = amplitude(ADAM_RATE, strength[i].item(), beta1)
            rows.append(("cycle", beta1, ratio, root_mean_square(path[:, i]) / ADAM_RATE, closed / ADAM_RATE))
    for found in (r for r in rates if r.quantity == BOUNDARY):
        beta1 = (found.closed_form - 2) / (found.closed_form + 2)
        rows.append(("boundary", round(beta1, 6), np.nan, found.measured, found.closed_form))
    curves = pd.DataFrame(rows, columns=["panel", "beta1", "ratio", "measured", "closed_form"])
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _draw_sizes(left, curves[curves.panel == "cycle"])
    _draw_boundary(right, curves[curves.panel == "boundary"])
    return Drawing("boundary", figure, curves)


def _draw_sizes(panel: Axes, cycles: pd.DataFrame) -> None:
    grid = np.geomspace(1, 1000, 4000)
    for beta1, mine in cycles.groupby("beta1"):
        color, marker = BETAS[beta1]
        closed = 1 / boundary(beta1) - 1 / grid
        panel.plot(grid[closed > 0], closed[closed > 0], color=color, lw=1)
        sns.scatterplot(
            x=mine.ratio, y=mine.measured, color=color, marker=marker, s=22, ax=panel, label=f"β₁ = {beta1:g}"
        )
        panel.axvline(boundary(beta1), color=color, lw=0.8, ls=":")
    panel.set(xscale="log", yscale="log", ylim=(1e-4, 1), xlabel="αλ/ε", ylabel="rms of w in the limit cycle, over α")
    panel.set_title("Adam's limit cycle: torch (points), closed form (lines)", loc="left", fontsize=9)
    panel.legend(frameon=False, loc="lower right")


def _draw_boundary(panel: Axes, found: pd.DataFrame) -> None:
    grid = np.linspace(0, 0.96, 400)
    panel.plot(grid, boundary(grid), color="black", lw=1, label="2(1 + β₁)/(1 − β₁)")
    panel.plot(found.beta1, found.measured, ls="none", marker="o", color=COLORS[0], label="bisection on torch's Adam")
    panel.set(yscale="log", xlabel="β₁", ylabel="largest stable αλ/ε")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_title("Where Adam's oscillation stops dying out", loc="left", fontsize=9)
    panel.legend(frameon=False, loc="upper left")


def draw_learning_rate_drop(start: Tensor, generator: torch.Generator, quarter: int = 10_000) -> Drawing:
    """Adam near zero while α is halved every quarter: the cycle shrinks, and ends where αλ/ε falls below 38."""
    noise = torch.tensor([[0.0], [1e-9]])
    schedule = [ADAM_RATE * 0.5**i for i in range(4)]
    path = norms(
        simulate(
            "adam", 1e-4 * start.repeat(2, 1), STRENGTH, 4 * quarter, lambda s: schedule[s // quarter], noise, generator
        )
    )
    at = np.arange(0, 4 * quarter + 1, 20)
    curves = pd.concat(
        [pd.DataFrame({"noise": s, "step": at, "norm": path[at, i]}) for i, s in enumerate(noise[:, 0].tolist())],
        ignore_index=True,
    )
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    panel = figure.subplots()
    for (sigma, mine), color in zip(curves.groupby("noise"), (COLORS[0], COLORS[1]), strict=True):
        label = "g = λw" if sigma == 0 else f"g = λw + noise of σ = {power(sigma)}"
        panel.plot(mine.step[mine.norm > 0], mine.norm[mine.norm > 0], color=color, lw=0.8, label=label)
    for i, rate in enumerate(schedule):
        _mark_quarter(panel, i * quarter, quarter, rate, noise.max().item(), np.sqrt(len(start)))
    panel.axhline(THRESHOLD, color="0.5", lw=0.8, ls=":")
    panel.annotate("ξ", (0.98, THRESHOLD), xycoords=("axes fraction", "data"), va="bottom", color="0.4")
    panel.set(yscale="log", ylim=(1e-20, 1), xlim=(0, 4 * quarter), xlabel="optimiser step", ylabel="‖w‖ (16 weights)")
    panel.set_title(
        "Adam + L2 near zero: learning-rate drops end the limit cycle (stable below 38)", loc="left", fontsize=10
    )
    panel.legend(frameon=False, loc="center right")
    return Drawing("learning-rate-drop", figure, curves)


def _mark_quarter(panel: Axes, begin: int, length: int, rate: float, noise: float, root: float) -> None:
    panel.axvline(begin, color="0.8", lw=0.8)
    panel.annotate(f"αλ/ε = {rate * STRENGTH / EPSILON:g}", (begin + length / 2, 0.1), ha="center")
    floors = {"--": amplitude(rate, STRENGTH, 0.9), ":": adam_noise_floor(rate, STRENGTH, noise, 0.9)}
    for (dashes, size), name in zip(floors.items(), ("of the cycle", "under noise"), strict=True):
        if size:
            label = f"closed form {name}" if begin == 0 else None
            panel.plot([begin, begin + length], [root * size] * 2, color="black", ls=dashes, lw=1.2, label=label)

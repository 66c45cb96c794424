"""The weights of a channel that is never activated: the real torch optimisers, simulated, and the closed forms.

Such a channel's loss has no gradient, so that L2 of strength λ leaves g = λw (Yaguchi et al. 2018, "Convergence").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.dynamics.closed_forms import EPSILON
from benchmark.method.interface import OPTIMIZERS

DECOUPLED = ("adamw",)


def simulate(
    name: str,
    start: Tensor,
    strength: Tensor | float,
    steps: int,
    learning_rate: float | Callable[[int], float],
    noise: Tensor | float = 0.0,
    generator: torch.Generator | None = None,
    **options: Any,
) -> np.ndarray:
    """Weights before every step of an optimiser of the suite and after the last, (steps + 1, *start.shape), float64.

    The gradient is λw plus normal noise of this standard deviation, drawn from `generator`; where `name` decouples λ,
    it is the noise alone and λ the optimiser's own decay. `strength` and `noise` broadcast over `start`. A learning
    rate may be a function of the step. `options` are torch's.
    """
    kind, defaults = OPTIMIZERS[name]
    rate = learning_rate if callable(learning_rate) else lambda step: learning_rate
    weights = torch.nn.Parameter(start.to(torch.float64, copy=True))
    decay = {"weight_decay": float(strength)} if name in DECOUPLED else {"weight_decay": 0.0}
    optimizer = kind([weights], lr=rate(0), **{**defaults, **decay, **options})
    slope = torch.as_tensor(0.0 if name in DECOUPLED else strength, dtype=torch.float64)
    noise = torch.as_tensor(noise, dtype=torch.float64)
    values, noisy = weights.data, bool(noise.any())
    weights.grad = torch.zeros_like(values)
    path = torch.empty(steps + 1, *values.shape, dtype=torch.float64)
    path[0] = values
    for step in range(steps):
        torch.mul(values, slope, out=weights.grad)
        if noisy:
            weights.grad += noise * torch.randn(values.shape, dtype=torch.float64, generator=generator)
        optimizer.param_groups[0]["lr"] = rate(step)
        optimizer.step()
        path[step + 1] = values
    return path.numpy()


def norms(path: np.ndarray) -> np.ndarray:
    """2-norms over the last axis; sizes are divided out first, for the square of 1e-200 is 0 in float64."""
    peak = np.maximum(np.abs(path).max(axis=-1, keepdims=True), np.finfo(float).tiny)
    return np.linalg.norm(path / peak, axis=-1) * peak[..., 0]


def root_mean_square(path: np.ndarray) -> float:
    """The root mean square of all weights at all steps."""
    return float(np.sqrt(np.mean(path**2)))


def decay_per_step(path: np.ndarray, begin: int, end: int) -> float:
    """The factor per step, measured: the least-squares slope of log‖w‖ between two steps, exponentiated.

    For a weight that oscillates it is the envelope's, if the span holds many periods.
    """
    size = norms(path[begin : end + 1].reshape(end + 1 - begin, -1))
    return float(np.exp(np.polyfit(np.arange(len(size)), np.log(size), 1)[0]))


def stability_boundary(beta1: float, beta2: float = 0.999, start: float = 1e-100, settle: int | None = None) -> float:
    """The αλ/ε at which w = 0 turns unstable, by bisection on torch's Adam at α = 1e-3, between 0.1 and 10 000.

    A weight starts at `start`, and its envelope is watched once v is forgotten, after `settle` steps. By default that
    is when the bias correction is over: the tiny start keeps √v far below ε. A large start needs a longer `settle`.
    """
    settle = settle or round(20 / (1 - beta1))
    low, high = math.log(0.1), math.log(10_000)
    while high - low > 1e-5:
        middle = (low + high) / 2
        unstable = _grows(math.exp(middle) * EPSILON / 1e-3, beta1, beta2, start, settle)
        low, high = (low, middle) if unstable else (middle, high)
    return math.exp((low + high) / 2)


def _grows(strength: float, beta1: float, beta2: float, start: float, settle: int) -> bool:
    """Whether |w| returns to the order of ε/λ once it was far below, or its envelope grows after `settle` steps."""
    span = round(10 / (1 - beta1))
    weight = torch.tensor([start], dtype=torch.float64)
    path = simulate("adam", weight, strength, settle + 18 * span, 1e-3, betas=(beta1, beta2))
    size = np.abs(path[1:, 0])
    limit = 1e-3 * EPSILON / strength
    # Far above the boundary one burst can fill v, which then keeps w decaying for longer than the run lasts.
    if (size[np.argmax(size < 1e-6 * limit) :] > limit).any():
        return True
    envelope = size[settle:].reshape(18, span).max(axis=1)
    return envelope[-1] > envelope[0]

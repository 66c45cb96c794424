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

from benchmark.method.interface import OPTIMIZERS

DECOUPLED = ("adamw",)
EPSILON = 1e-8  # torch's default for all adaptive optimisers here


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


def heavy_ball(step: float, momentum: float) -> float:
    """The largest |z| of w ← w − step·b, b ← μb + w: how much ‖w‖ shrinks per step in the end (derived here).

    z² − (1 + μ − step)·z + μ = 0, where step = αλ for torch's SGD with momentum, and αλ(1 − β₁)/(√v + ε), μ = β₁ for
    Adam at a constant v. Complex roots, of size √μ, mean oscillation: step between (1 − √μ)² and (1 + √μ)².
    """
    return float(np.abs(np.roots([1.0, -(1 + momentum - step), momentum])).max())


def boundary(beta1: float) -> float:
    """The αλ/ε above which w = 0 is unstable under Adam: 2(1 + β₁)/(1 − β₁) (derived here).

    Where v has decayed far below ε², Adam is a heavy ball of step k = αλ(1 − β₁)/ε; a root leaves the unit disc at
    z = −1, where 1 + (1 + β₁ − k) + β₁ = 0. β₂ and the bias corrections, which tend to 1, have no part in it.
    """
    return 2 * (1 + beta1) / (1 - beta1)


def amplitude(learning_rate: float, strength: float, beta1: float, epsilon: float = EPSILON) -> float:
    """The |w| of Adam's period-two orbit w ← −w; 0 where w = 0 is stable (derived here).

    On it v = λ²w² is constant, so that αλ/(λ|w| + ε) sits on the boundary. The orbit attracts for β₁ = 0 (RMSprop);
    at β₁ = 0.9 it is itself unstable soon above the boundary, and Adam bursts around it: tiny for hundreds of steps,
    then up to ten times the orbit. The root mean square stays within about 10 % of it.
    """
    return max(0.0, learning_rate / boundary(beta1) - epsilon / strength)


def steps_to_fraction(fraction: float, distance: float, beta2: float) -> float:
    """Steps until Adam has brought w from `distance` = |w₀|/α to that fraction of w₀, to first order (derived here).

    While g falls, √v remembers a larger one: at s = |w|/α steps from zero v/(λα)² = s² + 2sT + 2T², T = 1/(1 − β₂),
    so that a step is α·s/(s + T) and not α. Holds for fraction·distance ≫ T; without memory it is (1 − f)·|w₀|/α.
    """
    return (1 - fraction) * distance - math.log(fraction) / (1 - beta2)


def noise_floor(learning_rate: float, strength: float, noise: float, momentum: float) -> float:
    """The root mean square of w that gradient noise σ sustains under SGD with momentum μ (derived here).

    w is an AR(2) process: var w = α²σ²(1 + μ) / ((1 − μ)·αλ·(2(1 + μ) − αλ)); for μ = 0 about σ²α/(2λ).
    """
    k = learning_rate * strength
    return learning_rate * noise * math.sqrt((1 + momentum) / ((1 - momentum) * k * (2 * (1 + momentum) - k)))


def adam_noise_floor(
    learning_rate: float, strength: float, noise: float, beta1: float, epsilon: float = EPSILON
) -> float:
    """The root mean square of w under Adam with gradient noise σ (derived here).

    A heavy ball of step α(1 − β₁)/(√v + ε) with v = σ² + λ²·var w, whose fluctuations it neglects (β₂ → 1). Its
    variance is var w = ασ²/(2λx), x = √v + ε − αλ/boundary(β₁), so that √v is the largest root of a cubic. For σ → 0
    the floor is the limit cycle's `amplitude`; for σ ≫ λ|w| and ε about √(ασ/(2λ)).
    """
    unit = learning_rate * strength  # of √v, ε and σ
    sigma, edge = noise / unit, 1 / boundary(beta1) - epsilon / unit
    root = np.roots([1.0, -edge, -(sigma**2), sigma**2 * (edge - 0.5)]).real.max()
    # (λ²·var w)/unit², in whichever of its two forms does not cancel.
    excess = root**2 - sigma**2 if edge > sigma else sigma**2 / (2 * (root - edge))
    return learning_rate * math.sqrt(excess)


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

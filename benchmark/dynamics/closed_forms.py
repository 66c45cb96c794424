"""What theory says of w under g = λw: rates, boundaries, limit cycles, floors under noise."""

from __future__ import annotations

import math

import numpy as np

EPSILON = 1e-8  # torch's default for all adaptive optimisers here


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

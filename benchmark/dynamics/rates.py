"""The closed forms of benchmark/dynamics/closed_forms.py against what torch's optimisers do: the table of rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.dynamics.closed_forms import (
    EPSILON,
    adam_noise_floor,
    amplitude,
    boundary,
    heavy_ball,
    noise_floor,
    steps_to_fraction,
)
from benchmark.dynamics.simulation import decay_per_step, root_mean_square, simulate, stability_boundary

ADAM_RATE = 1e-3  # torch's default learning rate of Adam
SHRINKAGE = "1 − ‖w‖ₜ₊₁/‖w‖ₜ"
BOUNDARY = "largest stable αλ/ε"
TINY = 1e-100  # a start from which √v stays far below ε


@dataclass(frozen=True)
class Rate:
    """One row: a quantity measured on an optimiser, its closed form, and where that comes from."""

    optimizer: str
    quantity: str
    setting: str
    measured: float
    closed_form: float
    formula: str
    remark: str = ""

    @property
    def relative_error(self) -> float:
        """(measured − closed form) / closed form."""
        return (self.measured - self.closed_form) / self.closed_form


def measure_rates(generator: torch.Generator) -> list[Rate]:
    """Every row of the table; `generator` draws the gradient noise."""
    groups = (_gradient_descent(), _first_phase(), _memory(), _near_zero(), _boundaries(), _cycles(), _decoupled())
    return [row for group in (*groups, _floors(generator)) for row in group]


def _at(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _gradient_descent() -> Iterator[Rate]:
    path = simulate("sgd", _at(1.0), 1e-3, 2000, 0.1)
    yield Rate("sgd", SHRINKAGE, "α 0.1, λ 1e-3", 1 - decay_per_step(path, 0, 2000), 1e-4, "αλ")
    for strength in (1e-3, 1e-1):
        setting = f"α 0.01, λ {strength:g}, μ 0.9"
        k = 0.01 * strength
        factor = decay_per_step(simulate("momentum", _at(1.0), strength, 3000, 0.01), 1000, 3000)
        yield Rate("momentum", SHRINKAGE, setting, 1 - factor, 1 - heavy_ball(k, 0.9), "1 − largest root, heavy ball")
        remark = "first order in αλ; the row above is exact"
        yield Rate("momentum", SHRINKAGE, setting, 1 - factor, k / 0.1, "αλ/(1 − μ)", remark)
    factor = decay_per_step(simulate("momentum", _at(1.0), 10.0, 3000, 0.01), 500, 3000)
    remark = "it does oscillate once αλ > (1 − √μ)² = 0.0026"
    yield Rate("momentum", "envelope per step", "α 0.01, λ 10, μ 0.9", factor, heavy_ball(0.1, 0.9), "√μ", remark)


def _first_phase() -> Iterator[Rate]:
    for strength in (1e-3, 1e-1):
        path = simulate("adam", _at(0.05), strength, 200, ADAM_RATE)[:, 0]
        first = ADAM_RATE / (1 + EPSILON / (strength * 0.05))
        setting = f"α 1e-3, λ {strength:g}"
        yield Rate("adam", "first step", setting, path[0] - path[1], first, "α|g|/(|g| + ε)")
        remark = "the same for every λ; m lags by 1/(1 − β₁) steps, and √v remembers a larger gradient"
        yield Rate("adam", "steps to zero", f"|w₀|/α 50, λ {strength:g}", _crossing(path), 50, "|w₀|/α", remark)
    remark = "√v remembers 1/(1 − β₂) = 1000 steps: the last stretch is slow"
    for distance, steps in ((10_000, 20_000), (50_000, 62_000)):
        path = simulate("adam", _at(distance * ADAM_RATE), 1e-3, steps, ADAM_RATE)[:, 0]
        setting = f"|w₀|/α {distance}, λ 1e-3"
        yield Rate("adam", "steps to zero", setting, _crossing(path), distance, "|w₀|/α", remark)
        half = int(np.argmax(path < path[0] / 2))
        predicted = steps_to_fraction(0.5, distance, 0.999)
        yield Rate("adam", "steps to |w₀|/2", setting, half, predicted, "|w₀|/2α + ln 2/(1 − β₂)", "first order")
    path = simulate("rmsprop", _at(0.05), 1e-3, 1, ADAM_RATE)[:, 0]
    first = ADAM_RATE / (0.1 + EPSILON / 5e-5)
    formula = "α|g|/(|g|√(1 − ρ) + ε)"
    yield Rate("rmsprop", "first step", "α 1e-3, λ 1e-3", path[0] - path[1], first, formula, "no bias correction")


def _crossing(path: np.ndarray) -> int:
    return int(np.argmax(path <= 0))


def _memory() -> Iterator[Rate]:
    """After the first phase √v only decays: Adam's step grows until it is too large, and then w grows."""
    strength, setting = 1e-2, "α 1e-3, λ 0.01, |w₀| 0.05"
    path = simulate("adam", _at(0.05), strength, 14_000, ADAM_RATE)
    middle = decay_per_step(path, 500, 5000)
    remark = "whatever λ is: roots of size √β₁ while the step is in between"
    yield Rate("adam", "envelope per step, √v ≫ ε", setting, middle, 0.9**0.5, "√β₁", remark)
    envelope = np.abs(path[:14_000, 0]).reshape(-1, 50).max(axis=1)
    moment = _second_moment(path[:2000, 0] * strength)[-1]
    edge = ADAM_RATE * strength / boundary(0.9) - EPSILON
    predicted = 2000 + np.log(edge**2 / moment) / np.log(0.999)
    formula = "√v·√β₂ᵗ = αλ/38 − ε"
    remark = "v from the path at step 2000; so long v's memory keeps Adam stable above the boundary"
    yield Rate("adam", "step at which |w| is least", setting, 50 * envelope.argmin(), predicted, formula, remark)
    path = simulate("amsgrad", _at(1.0), 1e-3, 60_000, ADAM_RATE)
    largest = _second_moment(path[:20_000, 0] * 1e-3).max()
    step = ADAM_RATE * 1e-3 * 0.1 / (np.sqrt(largest) + EPSILON)
    factor = decay_per_step(path, 40_000, 60_000)
    remark = "v never falls, so neither ε nor the boundary matters; largest v from the path"
    setting = "α 1e-3, λ 1e-3, |w₀| 1"
    yield Rate(
        "amsgrad", SHRINKAGE, setting, 1 - factor, 1 - heavy_ball(step, 0.9), "heavy ball, step αλ(1 − β₁)/√v", remark
    )


def _second_moment(gradients: np.ndarray, beta2: float = 0.999) -> np.ndarray:
    moments = np.zeros(len(gradients))
    for i, gradient in enumerate(gradients):
        moments[i] = beta2 * moments[i - 1] + (1 - beta2) * gradient**2
    return moments


def _near_zero() -> Iterator[Rate]:
    for ratio in (0.01, 20.0):
        path = simulate("adam", _at(TINY), ratio * EPSILON / ADAM_RATE, 3000, ADAM_RATE)
        factor = decay_per_step(path, 500, 3000)
        predicted = heavy_ball(0.1 * ratio, 0.9)
        formula = "heavy ball, step αλ(1 − β₁)/ε"
        yield Rate("adam", f"{SHRINKAGE}, √v ≪ ε", f"αλ/ε {ratio:g}, β₁ 0.9", 1 - factor, 1 - predicted, formula)


def _boundaries() -> Iterator[Rate]:
    quantity, formula = BOUNDARY, "2(1 + β₁)/(1 − β₁)"
    for beta1 in (0.0, 0.5, 0.8, 0.9, 0.95):
        found = stability_boundary(beta1)
        yield Rate("adam", quantity, f"β₁ {beta1:g}, β₂ 0.999", found, boundary(beta1), formula, "bisection, √v ≪ ε")
    found = stability_boundary(0.9, beta2=0.99, start=0.05, settle=4000)
    remark = "bisection from |w₀| = 0.05, once v is forgotten"
    yield Rate("adam", quantity, "β₁ 0.9, β₂ 0.99", found, boundary(0.9), formula, remark)


def _cycles() -> Iterator[Rate]:
    path = simulate("rmsprop", _at(0.05), 1e-3, 8000, ADAM_RATE)[-500:]
    predicted = amplitude(ADAM_RATE, 1e-3, 0.0)
    setting, remark = "αλ/ε 100, ρ 0.99", "w changes sign every step"
    yield Rate("rmsprop", "|w| of the cycle", setting, root_mean_square(path), predicted, "α/2 − ε/λ", remark)
    for beta1 in (0.0, 0.5, 0.9):
        strength = 2 * boundary(beta1) * EPSILON / ADAM_RATE
        start = torch.linspace(1e-8, 2e-8, 16, dtype=torch.float64)
        path = simulate("adam", start, strength, 30_000, ADAM_RATE, betas=(beta1, 0.999))[15_000:]
        remark = "its orbit is unstable: bursts about it" if beta1 else "the orbit attracts"
        setting = f"αλ/ε {2 * boundary(beta1):g}, β₁ {beta1:g}"
        predicted = amplitude(ADAM_RATE, strength, beta1)
        formula = "α(1 − β₁)/(2(1 + β₁)) − ε/λ"
        yield Rate("adam", "rms of w in the cycle", setting, root_mean_square(path), predicted, formula, remark)
    start = torch.linspace(1e-5, 2e-5, 16, dtype=torch.float64)
    path = simulate("adam", start, 1e-3, 10_000, lambda step: ADAM_RATE if step < 5000 else ADAM_RATE / 4)
    factor = decay_per_step(path, 6000, 10_000)
    remark = "the drop takes αλ/ε below 38 and ends the cycle"
    yield Rate("adam", "envelope per step after α → α/4", "αλ/ε 100 → 25", factor, 0.9**0.5, "√β₁", remark)


def _decoupled() -> Iterator[Rate]:
    for strength in (1e-3, 1e-1):
        path = simulate("adamw", _at(0.05), strength, 5000, ADAM_RATE)
        factor = decay_per_step(path, 0, 5000)
        setting, remark = f"α 1e-3, λ {strength:g}", "no gradient reaches Adam's step"
        yield Rate("adamw", SHRINKAGE, setting, 1 - factor, ADAM_RATE * strength, "αλ", remark)


def _floors(generator: torch.Generator) -> Iterator[Rate]:
    start = torch.zeros(64)
    for name, learning_rate, momentum in (("sgd", 0.1, 0.0), ("momentum", 0.01, 0.9)):
        path = simulate(name, start, 1.0, 20_000, learning_rate, 1e-4, generator)[5000:]
        predicted = noise_floor(learning_rate, 1.0, 1e-4, momentum)
        setting = f"α {learning_rate:g}, λ 1, σ 1e-4"
        yield Rate(name, "rms of w under noise", setting, root_mean_square(path), predicted, "AR(2), about σ√(α/2λ)")
    for noise in (1e-7, 1e-5):
        path = simulate("adam", start, 1e-2, 20_000, ADAM_RATE, noise, generator)[10_000:]
        predicted = adam_noise_floor(ADAM_RATE, 1e-2, noise, 0.9)
        setting, formula = f"α 1e-3, λ 0.01, σ {noise:g}", "AR(2) at v = σ² + λ²·var w"
        yield Rate("adam", "rms of w under noise", setting, root_mean_square(path), predicted, formula)

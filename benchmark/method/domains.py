"""The ranges that hyperparameters take their values from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Real:
    """A real hyperparameter in [low, high], `log` if its ratios matter; `grid` holds the knob's default points.

    With the default None it is left to the library and never sampled: it is there for studies that set it.
    """

    default: float | None
    low: float
    high: float
    log: bool = False
    grid: tuple[float, ...] = ()

    def validate(self, value: Any) -> float:
        """The value as a float. Raises ValueError if it is no number in [low, high]."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not self.low <= value <= self.high:
            raise ValueError(f"{value!r} is not a number from {self.low:g} to {self.high:g}")
        return float(value)

    @property
    def bounds(self) -> tuple[float, float]:
        """Where samples are drawn from: the grid's span; else all of it, or two decades about the default if `log`."""
        if self.grid:
            return min(self.grid), max(self.grid)
        if self.log and self.default is not None:
            return max(self.low, self.default / 100), min(self.high, self.default * 100)
        return self.low, self.high

    def within(self, points: tuple[float, ...]) -> Real:
        """The same hyperparameter with other grid points."""
        return replace(self, grid=points)

    def sample(self, generator: np.random.Generator) -> float:
        """A value between the bounds, uniform, or log-uniform if `log`."""
        import numpy as np

        low, high = self.bounds
        if self.log:
            return float(np.exp(generator.uniform(np.log(low), np.log(high))))
        return float(generator.uniform(low, high))


RULE = "within 0.1"


@dataclass(frozen=True)
class Threshold(Real):
    """ξ, below which a method silences: a number from 0 to 1000, or "within 0.1": as many points it may cost.

    That is the rule: the largest ξ that costs at most 0.1 points of validation accuracy. A method calls it `threshold`;
    the benchmark, not the method, then tries values and sets the rule's choice.
    """

    low: float = 0.0
    high: float = 1000.0  # norms may exceed 1: those of weights before batch norm have any size
    log: bool = True

    def validate(self, value: Any) -> Any:
        """The value as a float, or RULE. Raises ValueError if it is neither."""
        try:
            return value if value == RULE else super().validate(value)
        except ValueError as error:
            raise ValueError(f'{error}, nor "{RULE}"') from None


@dataclass(frozen=True)
class Choice:
    """A hyperparameter that takes one of a few named values."""

    default: str
    options: tuple[str, ...]

    def validate(self, value: Any) -> str:
        """The value itself. Raises ValueError if it is not one of the options."""
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(f"{value!r} is not one of {', '.join(self.options)}")
        return value

    def sample(self, generator: np.random.Generator) -> str:
        """One of the options, uniformly."""
        return str(generator.choice(self.options))


@dataclass(frozen=True)
class Variant(Choice):
    """A choice that a method was given after it had records: at its default no part of a trial's key, never sampled."""


@dataclass(frozen=True)
class Text:
    """A hyperparameter that is written out, as the pattern has it from its first sign to its last; never sampled."""

    default: str
    pattern: str

    def validate(self, value: Any) -> str:
        """The value itself. Raises ValueError if the pattern does not match it."""
        if not isinstance(value, str) or re.fullmatch(self.pattern, value) is None:
            raise ValueError(f"{value!r} is not of the form {self.pattern}")
        return value


Sampled = Real | Choice
Domain = Sampled | Text

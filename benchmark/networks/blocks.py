"""What the benchmark's networks are built from: activations by name, and layer, norm and activation in a row."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from benchmark.networks import names

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {name: getattr(nn, kind) for name, kind in names.ACTIVATIONS.items()}


def block(layer: nn.Module, activation: str, norm: str) -> list[nn.Module]:
    """The layer, its norm and its activation."""
    return [*normed(layer, norm), ACTIVATIONS[activation]()]


def normed(layer: nn.Module, norm: str) -> list[nn.Module]:
    """The layer and the batch norm behind it, if any."""
    kind = nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d
    return [layer, kind(layer.weight.shape[0])] if norm == "batch" else [layer]


def conv(channels: int, width: int, kernel: int, norm: str, *, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A convolution, with a bias only where no norm follows."""
    return nn.Conv2d(channels, width, kernel, stride, padding, bias=norm == "none")


def linear(fan_in: int, width: int, norm: str) -> nn.Linear:
    """A linear layer, with a bias only where no norm follows."""
    return nn.Linear(fan_in, width, bias=norm == "none")

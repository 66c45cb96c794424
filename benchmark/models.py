"""The networks of the benchmark, with activation and normalisation as options."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
NORM_NAMES = ("batch", "none")


def build(
    network: str,
    shape: tuple[int, ...],
    classes: int,
    *,
    seed: int,
    widths: tuple[int, ...] = (),
    activation: str = "relu",
    norm: str = "batch",
) -> nn.Module:
    """A network by name for images of `shape` (C, H, W), its initial weights drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[network](shape, classes, widths, activation, norm)


def mlp(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """A fully connected network with hidden layers of the given widths (default one of 256)."""
    layers: list[nn.Module] = [nn.Flatten()]
    fan_in = math.prod(shape)
    for width in widths or (256,):
        layers += _block(nn.Linear(fan_in, width, bias=norm == "none"), nn.BatchNorm1d, activation, norm)
        fan_in = width
    return nn.Sequential(*layers, nn.Linear(fan_in, classes))


def lenet5(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """LeNet-5 in the Caffe form: two 5 × 5 convolutions with pooling, one hidden layer (default widths 20, 50, 500)."""
    first, second, hidden = widths or (20, 50, 500)
    bias = norm == "none"
    features = nn.Sequential(
        *_block(nn.Conv2d(shape[0], first, 5, bias=bias), nn.BatchNorm2d, activation, norm),
        nn.MaxPool2d(2),
        *_block(nn.Conv2d(first, second, 5, bias=bias), nn.BatchNorm2d, activation, norm),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    positions = math.prod(((side - 4) // 2 - 4) // 2 for side in shape[1:])
    classifier = _block(nn.Linear(second * positions, hidden, bias=bias), nn.BatchNorm1d, activation, norm)
    return nn.Sequential(*features, *classifier, nn.Linear(hidden, classes))


def _block(layer: nn.Module, norm_type: type[nn.Module], activation: str, norm: str) -> list[nn.Module]:
    width = layer.weight.shape[0]
    return [layer, *([norm_type(width)] if norm == "batch" else []), ACTIVATIONS[activation]()]


NETWORKS: dict[str, Callable[..., nn.Module]] = {"mlp": mlp, "lenet5": lenet5}

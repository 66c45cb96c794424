"""Random parameters, statistics and silent channels for the random networks of the tests."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from tests.support.random_networks import Built


def fill(built: Built, choice: random.Random, share: float) -> None:
    """Random parameters; silences hidden channels, a `share` of them, each way; keeps what moves within reach of 0."""
    generator = torch.Generator().manual_seed(choice.getrandbits(32))
    network = built.network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = max(1, parameter[0].numel())
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / fan_in**0.5)
        for channel in built.hidden:
            if choice.random() < share:
                silence(built, channel, choice.choice(["incoming", "incoming", "outgoing", "scale", "one writer"]))
    noise = torch.randn(12, *built.shape, generator=generator, dtype=torch.float64)
    built.batch = noise * torch.logspace(-1, 1, 12, dtype=torch.float64).view(-1, *[1] * len(built.shape))
    centre(network, built.batch, generator)


def silence(built: Built, channel: int, way: str) -> None:
    """Zeroes one channel's weights: all incoming, all outgoing, the scales on it, or those of its first writer only."""
    layers = built.network.layers
    incoming = [name for name, ids in built.writes.items() if channel in ids]
    if way == "outgoing":
        for name, ids in built.reads.items():
            for position in np.flatnonzero(np.array(ids) == channel).tolist():
                outgoing(layers[name], position).zero_()
        return
    tables = built.scales if way == "scale" else built.writes
    names = [name for name in tables if channel in tables[name]] if way == "scale" else incoming
    for name in names[:1] if way == "one writer" else names:
        if layers[name].weight is not None:
            layers[name].weight[np.array(tables[name]) == channel] = 0


def outgoing(layer: nn.Module, position: int) -> Tensor:
    """The weights that read one input channel, as a view."""
    width = layer.weight.shape[1]
    rows = layer.weight.unflatten(0, (getattr(layer, "groups", 1), -1))[position // width]
    return rows[:, position % width]


def centre(network: nn.Module, batch: Tensor, generator: torch.Generator) -> None:
    """Moves statistics and biases so that no activation is stuck on one side of zero on the batch."""
    seen = set()

    def spread(x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.movedim(1, 0).flatten(1)
        return flat.mean(1) + 0.3 * flat.std(1) * torch.randn(len(flat), generator=generator, dtype=x.dtype), flat.std(
            1
        )

    def norm_statistics(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        mean, deviation = spread(inputs[0])
        moves = deviation > 1e-9
        fresh = torch.randn(len(mean), generator=generator, dtype=mean.dtype)
        layer.running_mean.copy_(torch.where(moves, mean, fresh))
        layer.running_var.copy_(torch.where(moves, deviation**2, fresh.abs() + 0.1))

    def bias(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor | None:
        if layer.bias is None or layer in seen:
            return None
        seen.add(layer)
        mean, deviation = spread(output)
        shift = torch.where(deviation > 1e-9, -mean, 0)
        layer.bias += shift
        return output + shift.view(-1, *[1] * (output.dim() - 2))

    hooks = []
    for layer in network.layers.values():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            hooks.append(layer.register_forward_pre_hook(norm_statistics))
        elif isinstance(layer, nn.Linear | nn.Conv2d):
            hooks.append(layer.register_forward_hook(bias))
    with torch.no_grad():
        network(batch)
    for hook in hooks:
        hook.remove()

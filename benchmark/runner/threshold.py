"""The threshold ξ of a method that has one: what each costs on validation, and the one that the rule takes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from benchmark.method.domains import RULE, Threshold
from benchmark.method.interface import Method
from benchmark.networks.measure import accuracy
from benchmark.removal.groups import Net

NAME = "threshold"  # of the hyperparameter
COST = 0.001  # validation accuracy that the rule spends: 0.1 points
ROUNDING = 1e-9  # of differences of accuracies, far below one image
TRIED = (  # the ξ that the rule may take: decades, and finer where channels differ, up to where every norm lies below
    *(f"1e-{power:02d}" for power in range(16, 2, -1)),
    *(f"{digit}e{power:+03d}" for power in range(-2, 3) for digit in (1, 2, 5)),
    "1e+03",
)

Samples = tuple[Tensor, Tensor]  # images as a network's input, and labels


def set_threshold(method: Method, accuracies: dict[str, float], trained: float) -> float | None:
    """The method's ξ, by the rule where it asks for that; None for a method without.

    The rule: the largest ξ that costs at most `COST` of the trained network's accuracy; if none does, the smallest.
    `accuracies` are those of `threshold_accuracy`.
    """
    if not _has_threshold(method):
        return None
    if getattr(method, NAME) == RULE:
        fitting = [float(xi) for xi, found in accuracies.items() if trained - found <= COST + ROUNDING]
        setattr(method, NAME, max(fitting, default=float(TRIED[0])))
    return float(getattr(method, NAME))


def threshold_accuracy(net: Net, method: Method, seen: Samples, validation: Samples) -> dict[str, float]:
    """Validation accuracy after silencing at every ξ that the rule may take; empty for a method without one.

    Network, method and random state are afterwards, to the bit, as before.
    """
    if not _has_threshold(method):
        return {}
    accuracies: dict[str, float] = {}
    before = [tensor.clone() for tensor in net.module.state_dict().values()]
    last = accuracy(net.module, *validation)
    for xi in TRIED:
        with _restored(net):
            _at(method, float(xi)).silence(net, *seen)
            after = [tensor.clone() for tensor in net.module.state_dict().values()]
            if not all(map(torch.equal, before, after)):
                before, last = after, accuracy(net.module, *validation)
        accuracies[xi] = last
    return accuracies


def _has_threshold(method: Method) -> bool:
    return isinstance(method.space.get(NAME), Threshold)


def _at(method: Method, xi: float) -> Method:
    """The method with another ξ, drawing the same numbers from a generator of its own."""
    other = copy.copy(method)
    other.generator = method.generator.clone_state()
    setattr(other, NAME, xi)
    return other


@contextmanager
def _restored(net: Net) -> Iterator[None]:
    """Afterwards values, gradients, modes and global random state are as before."""
    module = net.module
    values = {name: tensor.clone() for name, tensor in tensors(net)}
    gradients = [(p, None if p.grad is None else p.grad.clone()) for p in module.parameters()]
    modes = {layer: layer.training for layer in module.modules()}
    devices = {tensor.device for tensor in values.values() if tensor.is_cuda}
    with torch.random.fork_rng(devices=list(devices)):
        yield
    with torch.no_grad():
        for name, tensor in tensors(net):
            tensor.copy_(values[name])
    for parameter, gradient in gradients:
        parameter.grad = gradient
    for layer, mode in modes.items():
        layer.training = mode


def tensors(net: Net) -> list[tuple[str, Tensor]]:
    """Parameters and buffers, those included that no state holds."""
    return [*net.module.named_parameters(), *net.module.named_buffers()]

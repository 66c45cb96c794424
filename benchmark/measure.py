"""Measures networks: accuracy, parameters, multiply-accumulates. Nothing here changes the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmark.operations import CONVOLUTIONS

EVALUATION_BATCH = 1024


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """A context in which the network is in evaluation mode; every layer gets its own mode back."""
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode


@torch.no_grad()
def logits(module: nn.Module, images: Tensor) -> Tensor:
    """The network's outputs for all images (N × C × H × W) in evaluation mode, whatever mode it was in."""
    with evaluating(module):
        return torch.cat([module(batch) for batch in images.split(EVALUATION_BATCH)])


def accuracy(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Correctly classified samples over all samples."""
    return (logits(module, images).argmax(1) == labels).sum().item() / len(labels)


def parameters(module: nn.Module) -> int:
    """The number of trainable scalars, biases and norms included."""
    return sum(p.numel() for p in module.parameters())


def zero_weights(module: nn.Module) -> tuple[int, int]:
    """Exact zeros and all entries in the weights of linear and convolutional layers."""
    weights = [m.weight for m in module.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    return sum((w == 0).sum().item() for w in weights), sum(w.numel() for w in weights)


def macs(module: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of linear and convolutional layers for one sample; biases, norms and poolings are free."""
    total = 0

    def count(layer: nn.Module, _: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        positions = output[0, 0].numel() if isinstance(layer, CONVOLUTIONS) else output[0, ..., 0].numel()
        total += positions * layer.weight.numel()

    layers = [m for m in module.modules() if isinstance(m, (nn.Linear, *CONVOLUTIONS))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        logits(module, example[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return total

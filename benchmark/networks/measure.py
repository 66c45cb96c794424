"""Measures networks: accuracy, parameters, multiply-accumulates. Nothing here changes the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmark.removal.operations import ACTIVATION_MODULES

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
    """Correctly classified samples over all samples; one with an output that is no number is not classified."""
    outputs = logits(module, images)
    return ((outputs.argmax(1) == labels) & ~outputs.isnan().any(1)).sum().item() / len(labels)


@torch.no_grad()
def never_active(module: nn.Module, inputs: Iterable[Tensor]) -> float | None:
    """The share of the channels before an activation that are positive for no image of any batch, at no position.

    A rectifier passes no gradient through these (Yaguchi et al. 2018). None for a network without activation layers.
    """
    layers = [m for m in module.modules() if isinstance(m, ACTIVATION_MODULES)]
    batches: list[list[Tensor]] = []
    hooks = [m.register_forward_pre_hook(lambda _, args: batches[-1].append(_positive(args[0]))) for m in layers]
    try:
        with evaluating(module):
            for batch in inputs:
                batches.append([])
                module(batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not batches or not batches[0]:
        return None
    active = [torch.stack(layer).any(0) for layer in zip(*batches, strict=True)]
    return sum((~channels).sum().item() for channels in active) / sum(len(channels) for channels in active)


def _positive(values: Tensor) -> Tensor:
    """By channel (axis 1), whether any value is positive."""
    return (values.movedim(1, 0).flatten(1) > 0).any(1)


def norm_histogram(norms: Tensor) -> dict[str, int]:
    """How many norms lie in each quarter of a decade, by the lower end's base-10 logarithm; `-inf` for zeros."""
    lower = (norms.double().log10() * 4).floor() / 4
    edges, counts = lower.unique(return_counts=True)
    return {f"{edge:.2f}": count for edge, count in zip(edges.tolist(), counts.tolist(), strict=True)}


def parameters(module: nn.Module) -> int:
    """The number of trainable scalars, biases and norms included."""
    return sum(p.numel() for p in module.parameters())


def zero_weights(module: nn.Module) -> tuple[int, int]:
    """Exact zeros and all entries in the weights of linear and convolutional layers; a shared weight counts once."""
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    weights = dict.fromkeys(layer.weight for layer in layers)
    return sum((w == 0).sum().item() for w in weights), sum(w.numel() for w in weights)


def macs(module: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of one sample's products: linear, convolutional and recurrent layers, and attention.

    Biases, norms and poolings are free. Counted by torch as they are computed, without the kernels that it cannot see
    into.
    """
    with _plain_products(), FlopCounterMode(display=False) as counter:
        logits(module, example[:1])
    return counter.get_total_flops() // 2


@contextmanager
def _plain_products() -> Iterator[None]:
    """A context in which attention and recurrent layers are made of products of matrices, as torch counts them."""
    libraries = torch.backends.mkldnn, torch.backends.cudnn
    before, enabled = torch.backends.mha.get_fastpath_enabled(), [library.enabled for library in libraries]
    torch.backends.mha.set_fastpath_enabled(False)
    for library in libraries:
        library.enabled = False
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
        for library, was in zip(libraries, enabled, strict=True):
            library.enabled = was

"""Gradients that see through sleeping units, for the ascent on the difference of two networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchmark.removal.probes import Inputs

FLAT = 1e-10  # a gradient of the difference below this share of the network's own is rounding
SLEEPING = {  # activations, each with its in-place form, that can be flat
    *("relu", "relu6", "hardtanh", "threshold", "clamp", "clip", "clamp_min", "clamp_max", "elu", "celu", "selu"),
    *("gelu", "silu", "mish", "sigmoid", "tanh", "softplus", "hardsigmoid", "hardswish", "logsigmoid"),
}


class StraightThrough(TorchFunctionMode):
    """Lets gradients through sleeping and saturated units; every value stays what it is."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        x = args[0] if args else kwargs.get("input")
        if getattr(function, "__name__", "").rstrip("_") not in SLEEPING or not (
            isinstance(x, Tensor) and x.requires_grad
        ):
            return function(*args, **kwargs)
        own = x.detach().clone()
        before = own._version
        value = function(own, *args[1:], **kwargs) if args else function(**{**kwargs, "input": own})
        passed = _Passed.apply(x, value)  # type: ignore[no-untyped-call]
        return passed if own._version == before else x.copy_(passed)


class _Passed(torch.autograd.Function):
    """The value of an activation with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def opposed(output: Tensor, generator: torch.Generator) -> Tensor:
    """A random direction for the first half of the samples, and its opposite for the second."""
    direction = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output.device)
    if output.dim():  # a number for the whole batch has no halves
        half = len(output) // 2
        direction[half : 2 * half] = -direction[:half]
    return direction


def gradients(outputs: list[Tensor], directions: list[Tensor], inputs: Inputs) -> list[Tensor]:
    """The gradients of r·outputs by each input, zero where there is none."""
    pairs = [(y, r) for y, r in zip(outputs, directions, strict=True) if y.requires_grad and y.shape == r.shape]
    wanted = [x for x in inputs if x.requires_grad]
    nothing = [torch.zeros_like(x, dtype=torch.float64) for x in inputs]
    if not pairs or not wanted:
        return nothing
    followed, along = zip(*pairs, strict=True)
    try:
        found = iter(torch.autograd.grad(followed, wanted, along, materialize_grads=True))
    except RuntimeError:  # a network that is never trained may change in place what a gradient needs
        return nothing
    return [next(found) if x.requires_grad else zero for x, zero in zip(inputs, nothing, strict=True)]


def is_flat(own: list[Tensor], other: list[Tensor]) -> bool:
    """Whether the gradients of two networks differ by rounding alone."""
    gap = max(((g - h).abs().max().item() for g, h in zip(own, other, strict=True)), default=0.0)
    return gap <= FLAT * max((g.abs().max().item() for g in own), default=0.0)

"""Finds the numbers that follow the input's size: what an operation with such a number makes of a constant is none.

Nothing in a forward pass tells a number that the code makes of a size (`x / x.shape[-1]`) from one that is written in
it. So where a constant meets a number, the network runs again on batches of other sizes, and the numbers are compared.
From where it comes to other operations there, no number is taken to be the same. What such a branch does to a constant
that meets no number is left to the proof. A number may follow the dtype too, and constants are measured in float64.

On torch's meta device tensors have shapes and no values. Passes there cost next to nothing, however large the input,
but do not show a number that is read from a tensor; where there is one, the network itself runs, on fewer sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.removal.calls import Call
from benchmark.removal.labels import Border, Number, Trace
from benchmark.removal.numbers import UNREAD, Values, numbers_met, read
from benchmark.removal.passes import first_samples, following
from benchmark.removal.probes import COUNTS, ELEMENTS, Inputs, other_shapes
from benchmark.removal.tensors import copy_with

MOST, LONGEST = 2**22, 4096  # elements of a sample and of an axis without values: code may make some of its own
SMALL = 8  # times as large as what was followed, an input is small enough to be computed with

# Element-wise operations whose result is of the kind of its operands.
SAME_KIND = frozenset({
    "abs", "add", "clamp", "clamp_max", "clamp_min", "div", "elu", "exp", "gelu", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "log", "mish", "mul", "neg", "pow", "relu", "relu6", "rsqrt", "rsub", "selu", "sigmoid",
    "silu", "softplus", "sqrt", "square", "sub", "tanh",
})  # fmt: skip

Found = dict[int, Values]  # by the place of an operation the numbers that it computes with


def mark_sizes(silenced: nn.Module, inputs: Inputs, followed: Trace, module: nn.Module, example: Inputs) -> None:
    """Notes which steps of the trace of a network on its inputs turn constants into what follows their size.

    `module` and `example` are the network and its inputs in the dtypes that they came in.
    """
    met = {number.place: number for number in numbers_met(followed)}
    if not met:
        return

    def found(network: nn.Module, batch: Inputs) -> Found | None:
        return _numbers(network, batch, followed, met)

    real, hollow, own = copy_with(silenced, _unchanged), copy_with(silenced, _hollow), copy_with(module, _hollow).eval()
    few = tuple(map(_ones, first_samples(inputs)))
    with following(real, few[0]):
        first = found(real, few) or {}
        differing = met.keys() - first.keys()
        differing |= _others(first, found(own, tuple(map(_hollow, first_samples(example)))) or {})
        quick = _agrees(first, found(hollow, tuple(map(_hollow, few))))
        for batch in _other_batches(few):
            other = found(hollow, tuple(map(_hollow, batch))) if quick else None
            if (other is None or UNREAD in other.values()) and _is_small(batch, few):
                other = found(real, batch)
            if other is not None:
                differing |= _others(first, other) | (first.keys() - other.keys())
    for place in differing:
        _mark(followed, met[place])


def _others(first: Found, found: Found) -> set[int]:
    """Where numbers are read that differ from the first."""
    return {place for place, values in found.items() if values not in (UNREAD, first.get(place, UNREAD))}


def _agrees(first: Found, found: Found | None) -> bool:
    """Whether the pass without values is the one with them, as far as its numbers show."""
    return found is not None and found.keys() == first.keys() and not _others(first, found)


def _mark(followed: Trace, number: Number) -> None:
    for i in number.steps:
        step = followed.steps[i]
        border: Border = "zeros" if number.keeps_zeros and step.border != "other" else "other"
        followed.steps[i] = replace(step, border=border, shifts=False)


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


def _hollow(tensor: Tensor) -> Tensor:
    """The shape of a tensor, without values."""
    hollow = torch.empty_like(tensor, device="meta")
    return nn.Parameter(hollow, requires_grad=False) if isinstance(tensor, nn.Parameter) else hollow


def _ones(tensor: Tensor) -> Tensor:
    """Ones in one place of memory, for real numbers: their values make no number."""
    return torch.ones_like(tensor[:1].flatten()[0]).expand(tensor.shape) if tensor.is_floating_point() else tensor


def _other_batches(few: Inputs) -> Iterator[Inputs]:
    """More samples, then other sizes."""
    for count in (len(few[0]) + 1, *COUNTS):
        yield tuple(x[:1].expand(count, *x.shape[1:]) if len(x) == len(few[0]) else x for x in few)
    shapes = tuple(tuple(x.shape[1:]) for x in few)
    longest = max(LONGEST, 2 * max((length for shape in shapes for length in shape), default=0))
    for new, _ in other_shapes(shapes, MOST):
        if all(length <= longest for shape in new for length in shape):
            yield tuple(x.flatten()[:1].expand(len(x), *shape) for x, shape in zip(few, new, strict=True))


def _is_small(batch: Inputs, few: Inputs) -> bool:
    size, usual = (sum(x.numel() for x in inputs) for inputs in (batch, few))
    return size <= max(4 * ELEMENTS, SMALL * usual)


def _numbers(module: nn.Module, inputs: Inputs, followed: Trace, met: dict[int, Number]) -> Found | None:
    """The numbers of a pass, as far as it is the one that was followed; None where it does not accept the inputs."""
    reading, copies = _Reading(followed, met), tuple(x.clone() for x in inputs)
    try:
        with reading:
            module(*copies)
    except Exception:
        return reading.found if reading.differs else None
    return reading.found


class _Reading(TorchDispatchMode):
    """Reads numbers of a forward pass at the places where the one that was followed has them."""

    def __init__(self, followed: Trace, met: dict[int, Number]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.followed, self.met = followed, met
        self.place = -1
        self.differs = False
        self.found: Found = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = Call.of(func, args, kwargs or {})
        self.place += 1
        seen = self.followed.seen[self.place] if self.place < len(self.followed.seen) else None
        self.differs |= seen is None or call.name != seen.name
        if seen is None or self.differs:
            return func(*args, **(kwargs or {}))
        if seen.results is None:
            with self:
                return func.decompose(*args, **(kwargs or {}))
        if self.place in self.met:
            self.found[self.place] = read(call, self.met[self.place])
        result = foreseen(call)
        return func(*args, **(kwargs or {})) if result is None else result


def foreseen(call: Call) -> Tensor | None:
    """What an element-wise operation gives where there are no values: torch finds that out in Python, slowly."""
    wide = [x for x in call.tensors if x.dim()]
    if call.name not in SAME_KIND or not wide or any(isinstance(v, complex) for v in call.arguments.values()):
        return None
    like = wide[0]
    if any(not x.is_meta or (x.shape, x.dtype) != (like.shape, like.dtype) for x in wide):
        return None
    if not all(x.is_floating_point() for x in call.tensors):
        return None
    if call.written:
        return like if call.written[0] is like is call.arguments.get("self") else None
    return torch.empty_like(like)

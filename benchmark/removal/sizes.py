"""Finds the numbers that follow the input's size: what an operation with such a number makes of a constant is none.

Nothing in a forward pass tells a number that the code makes of a size (`x / x.shape[-1]`) from one that is written in
it. So where a constant meets a number, the network runs again on batches of other sizes, and the numbers are compared.
From where it comes to other operations there, no number is taken to be the same. What such a branch does to a constant
that meets no number is left to the proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.removal.calls import Call
from benchmark.removal.labels import Border, Mask, Number, Trace
from benchmark.removal.passes import first_samples, following
from benchmark.removal.probes import resized
from benchmark.removal.readers import find_constants
from benchmark.removal.tensors import copy_with

ENOUGH = 3  # other batches that the network accepts

Found = dict[int, tuple[Any, ...]]  # by the place of an operation the numbers that it computes with


def mark_sizes(module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace) -> None:
    """Notes which steps of the trace of a module on these inputs turn constants into what follows their size."""
    met = _met_by_constants(followed)
    if not met:
        return
    filled, few = copy_with(module, _ones), tuple(map(_ones, first_samples(inputs)))
    with following(filled, few[0]):
        first = _numbers(filled, few, followed) or {}
        accepted = (found for batch in _other_batches(few) if (found := _numbers(filled, batch, followed)) is not None)
        for found, _ in zip(accepted, range(ENOUGH), strict=False):
            for number in met:
                if number.place not in first or found.get(number.place) != first[number.place]:
                    _mark(followed, number)


def _met_by_constants(followed: Trace) -> list[Number]:
    """The numbers that would change a constant, if they changed."""
    if not followed.numbers:
        return []
    constant, _ = find_constants(followed)
    return [number for number in followed.numbers if _meets(followed, number, constant)]


def _meets(followed: Trace, number: Number, constant: Mask) -> bool:
    sources = [source for i in number.steps for source in followed.steps[i].sources]
    changing = constant & (followed.value != 0) if number.keeps_zeros else constant
    return any(changing[source].any() for source in sources)


def _mark(followed: Trace, number: Number) -> None:
    for i in number.steps:
        step = followed.steps[i]
        border: Border = "zeros" if number.keeps_zeros and step.border != "other" else "other"
        followed.steps[i] = replace(step, border=border, shifts=False)


def _ones(tensor: Tensor) -> Tensor:
    """Ones of single precision in one place of memory, for real numbers: quick, and no product of sizes is lost."""
    if not tensor.is_floating_point():
        return tensor
    ones = torch.ones((), dtype=torch.float32, device=tensor.device).expand(tensor.shape)
    return nn.Parameter(ones, requires_grad=False) if isinstance(tensor, nn.Parameter) else ones


def _other_batches(few: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """One more sample, then other sizes, those first that change least and most."""
    yield tuple(torch.cat([x, x[:1]]) for x in few)
    for shapes in reversed(list(zip(*(resized(tuple(x.shape[1:])) for x in few), strict=False))):
        if all(length > 0 for shape in shapes for length in shape):
            yield tuple(x.flatten()[:1].expand(len(x), *shape) for x, shape in zip(few, shapes, strict=True))


def _numbers(module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace) -> Found | None:
    """The numbers of a pass, as far as it is the one that was followed; None where it does not accept the inputs."""
    reading, copies = _Reading(followed), tuple(x.clone() for x in inputs)
    try:
        with reading:
            module(*copies)
    except Exception:
        return reading.found if reading.differs else None
    return reading.found


class _Reading(TorchDispatchMode):
    """Reads numbers of a forward pass at the places where the one that was followed has them."""

    def __init__(self, followed: Trace):
        super().__init__()  # type: ignore[no-untyped-call]
        self.followed = followed
        self.wanted = {number.place: number for number in followed.numbers}
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
        if self.place in self.wanted:
            self.found[self.place] = call.numbers(self.wanted[self.place].lone)
        return func(*args, **(kwargs or {}))

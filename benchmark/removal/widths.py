"""Finds the channels whose number the code depends on: a size written as a number, a scale by the width, a half.

Nothing in a forward pass tells a size that follows the widths from one that does not. So the network runs once more
with other widths, and every operation must be the same, on the same numbers, with results of the widths that follow
from what was removed. Only shapes count in that run: layers keep their first rows, not those that would be left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.removal.calls import Call
from benchmark.removal.carriers import find_husks
from benchmark.removal.labels import Ids, Mask, Seen, Shape, Trace, hidden_groups, reasons_to_keep
from benchmark.removal.slicing import narrow_network

Values = Callable[[Tensor], Tensor]  # what a tensor's place is taken by


class DiffersError(Exception):
    """The forward pass of a network of other widths is another one."""


def is_same_pass(module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace) -> bool:
    """Whether the forward pass of a network of other widths is seen to be the one that was followed.

    Shapes count alone, so it runs on zeros, quickly; where code minds the values, that is another pass.
    """
    return _reason(module, inputs, followed, _removable(followed), _hollow) is None


def pin_fixed_widths(module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace) -> None:
    """Pins the channels without any of which the forward pass would not be the same."""

    def pin(groups: list[Ids]) -> None:
        reason = _reason(module, inputs, followed, groups)
        if reason is not None and len(groups) == 1:
            followed.pin(groups[0], reason)
        elif reason is not None:
            pin(groups[: len(groups) // 2])
            pin(groups[len(groups) // 2 :])

    pin(_removable(followed))
    left = _removable(followed)
    reason = _reason(module, inputs, followed, left)
    if reason is not None:
        followed.pin(np.concatenate(left), reason)


def _removable(followed: Trace) -> list[Ids]:
    groups = hidden_groups(followed)
    kept = reasons_to_keep(followed, groups)
    return [ids for name, ids in groups.items() if name not in kept]


def _hollow(tensor: Tensor) -> Tensor:
    """Zeros of single precision in one place of memory, of a tensor's shape and kind."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    zeros = torch.zeros((), dtype=dtype, device=tensor.device).expand(tensor.shape)
    return nn.Parameter(zeros, requires_grad=False) if isinstance(tensor, nn.Parameter) else zeros


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


def _reason(
    module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace, groups: list[Ids], values: Values = _unchanged
) -> str | None:
    """Why channels of these groups cannot go: what differs when a random half of them does, or the other half.

    One half is enough to show what depends on their number, but not which of them the code picks out.
    """
    half = np.random.default_rng(0).random(followed.size) < 0.5
    for ids in groups:
        half[ids[:1]] = True
    for cut in followed.cuts:
        for part in cut.alike:
            half[part] = half[cut.alike[0][: len(part)]]
    for chosen in (half, ~half) if followed.picks else (half,):
        dead = np.zeros(followed.size, dtype=bool)
        for ids in groups:
            dead[ids] = chosen[ids]
        gone = dead & ~find_husks(followed, dead)
        if gone.any() and (reason := _difference(module, inputs, followed, gone, values)):
            return reason
    return None


def _difference(
    module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace, gone: Mask, values: Values
) -> str | None:
    replay = _Replay(followed, gone)
    try:
        narrow = narrow_network(module, followed, ~gone, values)
        copies = tuple(values(x).clone() for x in inputs)
        with replay:
            narrow(*copies)
    except Exception:
        return f"{replay.name.strip('_')} depends on how many there are"
    return None


class _Replay(TorchDispatchMode):
    """Compares a forward pass, operation by operation, with the one that was followed."""

    def __init__(self, followed: Trace, gone: Mask):
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Iterator[Seen] = iter(followed.seen)
        self.gone_cells = gone[followed.label]
        self.name = "the forward pass"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call, seen = Call.of(func, args, kwargs or {}), next(self.seen)
        self.name = call.name
        if call.name != seen.name or call.scalars != seen.scalars:
            raise DiffersError
        if seen.results is None:
            with self:
                return func.decompose(*args, **(kwargs or {}))
        call.result = func(*args, **(kwargs or {}))
        for result, shape in zip(call.results, seen.results, strict=True):
            self.compare(tuple(result.shape), shape)
        return call.result

    def compare(self, sizes: tuple[int, ...], shape: Shape) -> None:
        """Raises DiffersError unless a result has just the cells that are left of those that it had."""
        if shape.sizes is None:
            return
        expected = list(shape.sizes)
        if shape.cells is not None:
            left = ~self.gone_cells[shape.cells]
            blocks = np.ones_like(left)
            for axis in np.flatnonzero(np.array(left.shape) > 1):
                line = left.any(tuple(other for other in range(left.ndim) if other != axis), keepdims=True)
                blocks &= line
                expected[axis] = int(line.sum())
            if not left.any() or not np.array_equal(left, blocks):
                raise DiffersError
        if sizes != tuple(expected):
            raise DiffersError

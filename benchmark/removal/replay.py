"""Runs a network of other widths, and compares its forward pass with the one that was followed.

Every operation must be the same, on the same numbers and places, and meet results of the same operations before it;
its results must hold just those channels that are left, in their order. Shapes alone count, not values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.removal.calls import Call, tensors_in
from benchmark.removal.cells import core, flat, varies
from benchmark.removal.labels import Ids, Seen, Shape, Trace
from benchmark.removal.moves import moved_cells
from benchmark.removal.operations import MOVES
from benchmark.removal.order import Order
from benchmark.removal.origins import Origin, Origins

Values = Callable[[Tensor], Tensor]  # what a tensor's place is taken by


class DiffersError(Exception):
    """The forward pass of a network of other widths is another one."""


def hollow(tensor: Tensor) -> Tensor:
    """Zeros of single precision in one place of memory, of a tensor's shape and kind."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    zeros = torch.zeros((), dtype=dtype, device=tensor.device).expand(tensor.shape)
    return nn.Parameter(zeros, requires_grad=False) if isinstance(tensor, nn.Parameter) else zeros


def unchanged(tensor: Tensor) -> Tensor:
    return tensor


def find_difference(
    module: nn.Module, narrow: nn.Module, inputs: tuple[Tensor, ...], followed: Trace, order: Order, values: Values
) -> str | None:
    """Why the pass of a narrower network is not the one that was followed of a module; None if it is the same.

    The inputs hold other values, so that numbers that code made of them, where no operation was seen, are others too.
    """
    replay = _Replay(module, narrow, followed, order)
    try:
        copies = tuple(values(x) / 2 if x.is_floating_point() else x.clone() for x in inputs)
        replay.origins.note(-1, copies)
        with replay:
            outputs = narrow(*copies)
        replay.finish(outputs)
    except Exception:
        return f"{replay.name.strip('_')} depends on how many there are"
    return None


class _Replay(TorchDispatchMode):
    """Compares a forward pass, operation by operation, with the one that was followed."""

    def __init__(self, module: nn.Module, narrow: nn.Module, followed: Trace, order: Order):
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Iterator[Seen] = iter(followed.seen)
        self.followed, self.order = followed, order
        self.origins = Origins(narrow)
        self.added = set(self.origins.parameters.values()) - set(Origins(module).parameters.values())
        self.left: dict[Origin, Ids] = {}  # of results before, the cells that are left
        self.place = -1
        self.name = "the forward pass"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call, seen = Call.of(func, args, kwargs or {}), next(self.seen)
        self.name, self.place = call.name, self.place + 1
        if call.name != seen.name or call.scalars != seen.scalars:
            raise DiffersError
        if seen.results is None:
            with self:
                return func.decompose(*args, **(kwargs or {}))
        operands = [(x, origin) for x in call.tensors if (origin := self.origins.of(x)) not in self.added]
        if tuple(origin for _, origin in operands) != seen.operands or seen.places not in (None, call.places):
            raise DiffersError
        call.result = func(*args, **(kwargs or {}))
        results = call.results
        self.origins.note(self.place, results)
        for index, (result, shape) in enumerate(zip(results, seen.results, strict=True)):
            self.compare(tuple(result.shape), shape, index)
        if call.name in MOVES:
            self.compare_moved(call, dict(operands))
        return call.result

    def compare(self, sizes: tuple[int, ...], shape: Shape, index: int) -> None:
        """Raises DiffersError unless a result has just the cells that are left of those that it had."""
        if shape.sizes is None:
            return
        expected = list(shape.sizes)
        if shape.cells is not None:
            left = self.order.left(shape.cells, self.followed.label)
            if left is None:
                raise DiffersError
            self.left[self.place, index] = left
            for axis, width in enumerate(shape.cells.shape):
                if width > 1:
                    expected[axis] = left.shape[axis]
        if sizes != tuple(expected):
            raise DiffersError

    def compare_moved(self, call: Call, origins: dict[Tensor, Origin]) -> None:
        """Raises DiffersError unless channels were moved to the places that they had, but for those that are gone."""
        known = {id(x): self.left[origin] for x, origin in origins.items() if origin in self.left}
        if not any(cells.size > 1 for cells in known.values()):
            return

        def cells_of(x: Tensor) -> Tensor:
            cells = known.get(id(x))
            return (torch.tensor(-1) if cells is None else torch.from_numpy(cells)).expand(x.shape)

        before = np.unique(np.concatenate([cells.ravel() for cells in known.values()]))
        for index, moved in enumerate(tensors_in(moved_cells(call, cells_of))):
            expected = self.left[self.place, index]
            own = np.isin(expected, before)  # others are new: of what is not followed, or joined along positions
            vary = [wide or size > 1 for wide, size in zip(varies(moved), expected.shape, strict=True)]
            found = flat(core(moved, vary)).reshape(core(moved, vary).shape)
            if own.any() and not np.array_equal(found, np.broadcast_to(np.where(own, expected, -1), found.shape)):
                raise DiffersError

    def finish(self, outputs: Any) -> None:
        """Raises DiffersError where the pass ends early, or gives other results."""
        self.name = "what it returns"
        if next(self.seen, None) is not None:
            raise DiffersError
        if tuple(map(self.origins.of, tensors_in(outputs))) != self.followed.returned:
            raise DiffersError

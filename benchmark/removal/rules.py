"""The rules: what each kind of operation does to the cells of the tensors it meets."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmark.removal.calls import Call
from benchmark.removal.cells import core, varies
from benchmark.removal.labels import Kind
from benchmark.removal.layers import Layers
from benchmark.removal.operations import IDENTITIES, PRODUCTS, RULES
from benchmark.removal.positions import Positions


class Operand(NamedTuple):
    """A tensor as it meets others: its sizes along the result's axes, and its cells (None if it is not followed)."""

    sizes: list[int]
    cells: Tensor | None

    def spreads(self, axes: list[bool]) -> list[int]:
        """Of the axes along which channels vary, those along which its own cells do not."""
        own = [False] * len(axes) if self.cells is None else varies(self.cells)
        return [axis for axis, vary in enumerate(axes) if vary and not own[axis]]

    def is_wide(self, axes: list[int]) -> bool:
        """Whether it has a width of its own along one of some axes."""
        return any(self.sizes[axis] > 1 for axis in axes)


class Rules(Positions, Layers):
    """Enters into the ledger which cells a call's results hold, and how they came about."""

    def apply(self, call: Call) -> None:
        if any(x.is_complex() for x in (*call.tensors, *call.results)):
            return self.opaque(call, "complex numbers have no rule for exact removal")
        return getattr(self, RULES.get(call.name, "opaque"))(call)  # type: ignore[no-any-return]

    def elementwise(self, call: Call) -> None:
        """The same place of all operands; one that is broadcast over others' channels stays for all of them."""
        result, arguments = call.result, call.arguments
        random = arguments.get("train") or arguments.get("training")
        lone = [x for x in _deciding(call) if x.numel() == 1 and not self.follows(x)]
        self.borrow([x for x in lone if self.is_picked(x)])
        operands = [self.operand(call, x) for x in _deciding(call) if x.numel() > 1 or self.follows(x)]
        followed = [operand.cells for operand in operands if operand.cells is not None]
        axes = [any(vary) for vary in zip(*map(self.channel_axes, followed), strict=True)]
        own = [x.cells for x in operands if x.cells is not None and not x.spreads(axes)]
        if random or not result.numel() or not own:
            return self.opaque(call)
        for operand in operands:
            spreads = operand.spreads(axes)
            if spreads and operand.cells is not None:
                self.consume(operand.cells, f"{call.name} spreads it over other channels")
            if operand.is_wide(spreads):
                for cells in own:
                    self.consume(cells, f"{call.name} meets a tensor of fixed width")
        kind: Kind = "product" if call.name in PRODUCTS else "map"
        fixed = len(followed) < len(operands)  # which may vary with the position
        shifts = call.name in IDENTITIES and not _rounds(call.tensors[0].dtype, result.dtype)
        return self.combine(followed, result, kind, "other" if fixed else "none", shifts, own)

    def gate(self, call: Call) -> None:
        """A gated linear unit, as what it is composed of: one half times the sigmoid of the other."""
        first, second = self.part(torch.ops.aten.chunk.default, call.arguments["self"], 2, call.arguments["dim"])
        product = Call.of(torch.ops.aten.mul.Tensor, (first, self.part(torch.ops.aten.sigmoid.default, second)), {})
        product.result = call.result
        self.apply(product)

    def part(self, function: Any, *args: Any) -> Any:
        """The result of an operation that is part of one which was seen."""
        call = Call.of(function, args, {})
        call.result = function(*args)
        self.apply(call)
        return call.result

    def channel_axes(self, cells: Tensor) -> list[bool]:
        """By axis whether channels vary along it: cells may, where one channel was split into several."""
        axes = varies(cells)
        if sum(axes) > 1:
            labels = self.book.label[core(cells).numpy()]
            axes = [vary and bool((labels != labels.take([0], axis)).any()) for axis, vary in enumerate(axes)]
        return axes

    def operand(self, call: Call, x: Tensor) -> Operand:
        """A tensor that an elementwise operation meets."""
        rank, cells = call.result.dim(), self.cells_of(x)
        sizes = [1] * (rank - x.dim()) + list(x.shape)
        if call.name == "prelu" and x is call.arguments["weight"] and rank > 1:  # along the second axis
            sizes = [x.numel() if axis == 1 else 1 for axis in range(rank)]
        if cells is None:
            self.borrow([x])
            return Operand(sizes, None)
        return Operand(sizes, cells.reshape(sizes).expand(call.result.shape))


def _rounds(source: torch.dtype, target: torch.dtype) -> bool:
    """Whether a cast may change a value, so that what is added before it is not what is added behind it."""
    return not target.is_floating_point or torch.finfo(target).eps > (
        torch.finfo(source).eps if source.is_floating_point else 0
    )


def _deciding(call: Call) -> list[Tensor]:
    """The tensors that decide an elementwise result: not what a copy writes over, if it writes channels."""
    return [call.arguments["src"]] if call.name == "copy" else call.tensors

"""The rules of operations that combine positions of one channel: poolings, means, borders, other sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from benchmark.removal.calls import Call
from benchmark.removal.cells import core, varies
from benchmark.removal.labels import Border
from benchmark.removal.moves import Moves
from benchmark.removal.operations import AVERAGES, REDUCTIONS


class Positions(Moves):
    """Each value of the result is made of values of one channel, at several positions along some axes."""

    def pool(self, call: Call) -> None:
        """Each window of the trailing axes, whose number is in the name."""
        arguments, axes = call.arguments, int(re.findall(r"(\d)d", call.name)[0])
        border: Border = "none"
        divisor = arguments.get("divisor_override")
        if call.name in AVERAGES:
            padded = _any(arguments["padding"])
            partial = padded and arguments["count_include_pad"] if divisor is None else padded or arguments["ceil_mode"]
            border = "zeros" if partial else "none"
        self.over_positions(call, range(-axes, 0), border, shifts=border == "none" and divisor is None)

    def resize(self, call: Call) -> None:
        """Another size, or a border of what lies beside it: an average of the channel's values, none of them zeros."""
        rank = call.result.dim()
        self.over_positions(call, range(min(2, rank - 1), rank), "none", shifts=True)

    def pad(self, call: Call) -> None:
        """A border along axes of positions, or more channels."""
        arguments = call.arguments
        x, amounts, mode = arguments["self"], arguments["pad"], arguments.get("mode", "constant")
        cells, value = self.cells_of(x), arguments.get("value") or 0
        padded = [x.dim() - 1 - i // 2 for i, amount in enumerate(amounts) if amount]
        if cells is not None and mode == "constant" and any(varies(cells)[axis] for axis in padded):
            return self.pad_channels(call, cells, list(amounts))
        border: Border = "none" if mode != "constant" or not padded else "zeros" if value == 0 else "other"
        return self.over_positions(call, padded, border, shifts=border == "none")

    def reduce(self, call: Call) -> None:
        """Means, sums and extremes over positions, or over the parts that a channel's axis was split into."""
        rank, dim = call.tensors[0].dim(), call.arguments.get("dim")
        listed = [dim] if isinstance(dim, int) else dim or range(rank)
        axes = sorted({axis % max(rank, 1) for axis in listed})
        sums = call.name == "sum"  # which grow with the number of positions
        kept = call.results[0].dim() == rank
        self.over_positions(call, axes, "zeros" if sums else "none", shifts=not sums, lost=[] if kept else axes)

    def weigh(self, call: Call) -> None:
        """A softmax along an axis: over positions, or between the parts that a channel's axis was split into."""
        cells, axis = self.cells_of(call.tensors[0]), call.arguments["dim"]
        parts = None if cells is None or not cells.dim() or not cells.numel() else _across(cells, [axis])
        if cells is None or parts is None:
            return self.opaque(call)
        own = [part.expand(cells.shape) for part in parts]
        alone = len(parts) == 1  # what it gives to each of so many positions depends on how many there are
        return self.combine([*own, cells], call.result, border="other" if alone else "none", own=own)

    def over_positions(
        self, call: Call, axes: Sequence[int], border: Border, shifts: bool, lost: Sequence[int] = ()
    ) -> None:
        """A result that combines positions, or parts of a channel, along some axes, and lacks the `lost` ones."""
        result = call.results[0]
        cells = self.cells_of(call.tensors[0])
        parts = None if cells is None or len(call.tensors) > 1 or not result.numel() else _across(cells, axes)
        if parts is None or (len(parts) > 1 and call.name not in REDUCTIONS):
            return self.opaque(call)
        for axis in sorted(lost, reverse=True):
            parts = [part.select(axis, 0) for part in parts]
        shifts &= len(parts) == 1
        self.combine([part.expand(result.shape) for part in parts], result, "map", border, shifts)
        for places in call.results[1:]:  # of the largest values
            self.combine([part.expand(places.shape) for part in parts], places, border="other")
        return None


def _across(cells: Tensor, axes: Sequence[int]) -> list[Tensor] | None:
    """The cells with one position left on some axes, once for each place along those on which they vary.

    None where they vary along no other axis: what combines them mixes all channels.
    """
    parts, vary = [core(cells)], varies(cells)
    for axis in {axis % cells.dim() for axis in axes if vary[axis]}:
        parts = [part.narrow(axis, i, 1) for part in parts for i in range(cells.shape[axis])]
    return None if len(parts) > 1 and not any(varies(parts[0])) else parts


def _any(amounts: Any) -> bool:
    return any(amounts) if isinstance(amounts, list | tuple) else bool(amounts)

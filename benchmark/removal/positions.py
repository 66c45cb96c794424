"""The rules of operations that combine positions of one channel: poolings, means, borders, other sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from benchmark.removal.calls import Call
from benchmark.removal.cells import core, varies
from benchmark.removal.labels import Border
from benchmark.removal.moves import Moves
from benchmark.removal.operations import AVERAGES


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
        """Means, sums and extremes over positions."""
        rank, dim = call.tensors[0].dim(), call.arguments.get("dim")
        listed = [dim] if isinstance(dim, int) else dim or range(rank)
        axes = sorted({axis % max(rank, 1) for axis in listed})
        sums = call.name == "sum"  # which grow with the number of positions
        kept = call.results[0].dim() == rank
        self.over_positions(call, axes, "zeros" if sums else "none", shifts=not sums, lost=[] if kept else axes)

    def over_positions(
        self, call: Call, axes: Sequence[int], border: Border, shifts: bool, lost: Sequence[int] = ()
    ) -> None:
        """A result that combines positions along some axes, and lacks the `lost` ones."""
        result = call.results[0]
        cells = self.cells_of(call.tensors[0])
        if cells is None or len(call.tensors) > 1 or not result.numel() or any(varies(cells)[axis] for axis in axes):
            return self.opaque(call)
        small = core(cells)
        for axis in sorted(lost, reverse=True):
            small = small.select(axis, 0)
        self.combine([small.expand(result.shape)], result, "map", border, shifts)
        for places in call.results[1:]:  # of the largest values
            self.combine([small.expand(places.shape)], places, border="other")
        return None


def _any(amounts: Any) -> bool:
    return any(amounts) if isinstance(amounts, list | tuple) else bool(amounts)

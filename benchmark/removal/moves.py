"""The rules of operations that move elements about: cells are moved by the same operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmark.removal.calls import Call, tensors_in
from benchmark.removal.cells import along, compact, core, flat, spread, varies
from benchmark.removal.cuts import read_cut, sizes_kept
from benchmark.removal.making import Making
from benchmark.removal.operations import CUTS, JOINS, PICKS, SPLITS, VIEWS


class Moves(Making):
    """Views, slices, concatenations, shuffles, and padding with more channels."""

    def move(self, call: Call) -> None:
        sources = [x for x in call.tensors if not is_index(call, x)]
        for x in sources:
            if not self.follows(x):
                self.borrow([x])
                self.start(x, f"{call.name} joins it with what is not followed")
        if len(sources) < len(call.tensors) and any(self.follows(x) for x in call.tensors if is_index(call, x)):
            return self.opaque(call)
        if call.name in VIEWS and call.result.dtype != sources[0].dtype:
            return self.opaque(call, "their bits are read as other numbers")
        parts = [cells for x in sources if (cells := self.cells_of(x)) is not None]
        if call.name in JOINS and self.joins_positions(call, parts):
            return None
        moved = [compact(cells) for cells in tensors_in(moved_cells(call, self.cells_of))]
        if call.name in CUTS:
            self.cut(call, parts[0], moved)
        for result, small in zip(call.results, moved, strict=True):
            self.put(result, small)
            if call.name in PICKS:
                self.picks |= core(small).numel() < core(parts[0]).numel()
            elif call.name in SPLITS:
                self.split(core(parts[0]), core(small))
        return None

    def cut(self, call: Call, cells: Tensor, parts: list[Tensor]) -> None:
        """Notes that channels are cut into parts, where the widths of the parts can follow what is left of them."""
        axis = call.arguments["dim"] % cells.dim()
        whole, *ids = (along(part, axis) for part in (cells, *parts))
        labels = [self.book.label[part] for part in ids if part is not None]
        if whole is None or len(labels) < len(parts) or not varies(cells)[axis]:
            return
        found = read_cut(call, self.book.label[whole], labels)
        if found is None:
            return
        if call.name == "chunk":  # which follows the width
            if len(found[0].alike) < call.arguments["chunks"]:
                self.consume(cells, "chunk cuts them into uneven parts")
            self.cuts.append(found[0])
            return
        owner = self.running[-1] if self.running else self.module
        name = next(name for name, part in self.modules.items() if part is owner)
        cut, sizes = sizes_kept(owner, name, *found)
        if sizes:
            self.cuts.append(cut)
            self.sizes += sizes

    def shuffle(self, call: Call) -> None:
        """Channels at the same place of every group go together: the groups that are left are as wide as each other."""
        cells = self.cells_of(call.arguments["self"])
        if cells is not None and varies(cells)[1]:
            self.split(core(cells), core(cells).unflatten(1, (call.arguments["groups"], -1)))
        self.move(call)

    def roll(self, call: Call) -> None:
        """Positions move; channels would move by a number that is written in the code."""
        cells, axes = self.cells_of(call.arguments["self"]), call.arguments["dims"]
        vary = [] if cells is None else varies(cells)
        if any(vary[axis] for axis in axes or range(len(vary))):
            return self.opaque(call, "roll moves them by a number")
        return self.move(call)

    def joins_positions(self, call: Call, parts: list[Tensor]) -> bool:
        """Whether a concatenation joins positions, not channels; then makes the channels of its parts one."""
        axis = call.arguments["dim"] % call.result.dim()
        parts = [cells.unsqueeze(axis) if call.name == "stack" else cells for cells in parts]
        if any(varies(cells)[axis] for cells in parts) or not any(any(varies(cells)) for cells in parts):
            return False
        wide = [core(cells).expand(call.result.shape) for cells in parts]
        if all(torch.equal(core(cells), core(wide[0])) for cells in wide):
            self.put(call.result, wide[0])
        else:
            self.combine(wide, call.result, border="zeros")  # constants side by side are one only if they are zero
        return True

    def split(self, whole: Tensor, parts: Tensor) -> None:
        """Makes channels one that a split of their axis into several lays behind each other: only all can go."""
        axes = [axis for axis, vary in enumerate(varies(parts)) if vary]
        if len(axes) > sum(varies(whole)):
            first = parts.narrow(axes[0], 0, 1).expand(parts.shape)
            self.book.unite(self.book.label[flat(first)], self.book.label[flat(parts)])

    def shuffle_pixels(self, call: Call) -> None:
        """Makes the channels one that become neighbouring positions of one channel."""
        x, axis = call.arguments["self"], call.result.dim() - 3
        cells = self.cells_of(x)
        ids = None if cells is None else along(cells, axis)
        if ids is None:
            return self.opaque(call)
        parts = ids.reshape(call.result.shape[axis], -1).T
        wide = [spread(part.copy(), call.result.shape, axis) for part in parts]
        return self.combine(wide, call.result, border="zeros")

    def pad_channels(self, call: Call, cells: Tensor, amounts: list[int]) -> None:
        """New channels that hold a constant, whose number is written in the code, beside those that are followed."""
        reason = f"{call.name} adds channels to it"
        small = core(compact(torch.nn.functional.pad(cells, amounts, value=-1))).clone()
        added = small == -1
        labels = self.book.new_labels(int(added.sum()))
        self.book.pin(labels, reason)
        small[added] = torch.from_numpy(self.step("start", (), labels))
        self.put(call.result, small.expand(call.result.shape))
        self.consume(cells, reason)


def is_index(call: Call, tensor: Tensor) -> bool:
    """Whether a tensor says where a move takes its elements from."""
    indices = [*(call.arguments.get("indices") or ()), call.arguments.get("index")]
    return call.name in ("index", "index_select") and any(tensor is index for index in indices)


def moved_cells(call: Call, cells_of: Callable[[Tensor], Tensor | None]) -> Any:
    """What the call makes of its operands' cells."""

    def replaced(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.cpu() if is_index(call, value) else cells_of(value)
        return [replaced(item) for item in value] if isinstance(value, list | tuple) else value

    if call.name in VIEWS:  # of cells that are expanded, where the tensor itself is not
        return replaced(call.arguments["self"]).reshape(call.result.shape)
    return call.function(**{key: replaced(value) for key, value in call.arguments.items() if key != "memory_format"})

"""Makes cells: for results that depend on others' cells, and for what cannot be followed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.removal.calls import Call
from benchmark.removal.cells import core, distinct, flat, varies
from benchmark.removal.labels import Border, Ids, Kind, Step, Values
from benchmark.removal.ledger import Ledger
from benchmark.removal.operations import MIXING


class Making(Ledger):
    """A ledger with the ways in which a call's results get cells that were not there before."""

    def step(
        self, kind: Kind, sources: tuple[Ids, ...], labels: Ids, values: Values | float = np.nan, **more: Any
    ) -> Ids:
        """Notes a step that makes one cell for each of some labels, with the values that they hold."""
        cells = self.book.new_cells(labels, values)
        self.steps.append(Step(kind, sources, cells, **more))
        return cells

    def combine(
        self,
        operands: list[Tensor],
        result: Tensor,
        kind: Kind = "map",
        border: Border = "none",
        shifts: bool = False,
        own: list[Tensor] | None = None,
    ) -> None:
        """New cells for a result of operands of its shape, place by place; makes the labels of `own` one."""
        axes = [any(vary) for vary in zip(*map(varies, operands), strict=True)]
        first, inverse = distinct([flat(core(cells, axes)) for cells in operands])
        sources = tuple(flat(core(cells, axes))[first] for cells in operands)
        united = [self.book.label[flat(core(cells, axes))[first]] for cells in own or operands]
        for labels in united[1:]:
            self.book.unite(united[0], labels)
        small = core(result.detach(), axes)
        values = small.reshape(-1)[torch.from_numpy(first).to(result.device)].double().cpu().numpy()
        cells = self.step(kind, sources, united[0], values, border=border, shifts=shifts)
        self.put(result, torch.from_numpy(cells[inverse]).view(small.shape).expand(result.shape))

    def start(self, tensor: Tensor, reason: str, like: Tensor | None = None) -> None:
        """New, pinned cells for a tensor that comes from nowhere that can be followed; with the labels of others."""
        small = torch.zeros([1] * tensor.dim(), dtype=torch.int64) if like is None else core(like)
        first, inverse = distinct([flat(small)])
        labels = self.book.new_labels(1) if like is None else self.book.label[flat(small)[first]]
        self.book.pin(labels, reason)
        cells = self.step("start", (), labels)
        self.put(tensor, torch.from_numpy(cells[inverse]).view(small.shape).expand(tensor.shape))

    def opaque(self, call: Call, reason: str = "") -> None:
        """Pins all that a call meets, and what it gives: the same channels, if it gives a tensor of the same shape."""
        name = call.name.strip("_")
        reason = reason or (f"{name} mixes them" if name in MIXING else f"{name} has no rule for exact removal")
        operands = [(x, cells) for x in call.tensors if (cells := self.cells_of(x)) is not None]
        self.borrow(call.tensors)
        for _, cells in operands:
            self.consume(cells, reason)
        for result in call.results:
            alike = [cells for x, cells in operands if x.shape == result.shape]
            self.start(result, reason, alike[0] if alike else None)

"""Which channels of a network are left, and in which order."""

from __future__ import annotations

import numpy as np

from benchmark.removal.labels import Ids, Mask


class Order:
    """Which channels are left, by their labels, and in which order: those of equal `rank` in the one that they had."""

    def __init__(self, kept: Mask, rank: Ids | None = None):
        self.kept, self.rank = kept, rank

    def places(self, labels: Ids) -> Ids:
        """The places of the labels that are left."""
        left = np.flatnonzero(self.kept[labels])
        return left if self.rank is None else left[np.argsort(self.rank[labels[left]], kind="stable")]

    def left(self, cells: Ids, label: Ids) -> Ids | None:
        """The cells that are left, None unless they are a block of those before; `label` is by cell."""
        kept = self.kept[label[cells]]
        if kept.all() and self.rank is None:
            return cells
        for axis in np.flatnonzero(np.array(cells.shape) > 1):
            lines = np.flatnonzero(kept.any(tuple(other for other in range(kept.ndim) if other != axis)))
            cells, kept = cells.take(lines, axis), kept.take(lines, axis)
            if self.rank is not None:
                first = np.moveaxis(cells, axis, 0).reshape(len(lines), -1)[:, 0]
                cells = cells.take(np.argsort(self.rank[label[first]], kind="stable"), axis)
        return cells if kept.size and kept.all() else None

"""Hands out cells and labels while a forward pass is followed."""

from __future__ import annotations

import numpy as np

from benchmark.removal.labels import Ids, Values


class Book:
    """Hands out cells and labels, and remembers which labels turned out to be one and which cannot be removed."""

    def __init__(self) -> None:
        self.labels = 0
        self.count = 0
        self.label: Ids = np.empty(1024, dtype=np.int64)
        self.value: Values = np.empty(1024)
        self.pins: list[tuple[Ids, str]] = []
        self.pairs: list[tuple[Ids, Ids]] = []

    def new_labels(self, count: int) -> Ids:
        self.labels += count
        return np.arange(self.labels - count, self.labels)

    def new_cells(self, labels: Ids, values: Values | float = np.nan) -> Ids:
        """One cell for each of the labels."""
        start, self.count = self.count, self.count + len(labels)
        while self.count > len(self.label):
            self.label = np.concatenate([self.label, np.empty_like(self.label)])
            self.value = np.concatenate([self.value, np.empty_like(self.value)])
        self.label[start : self.count] = labels
        self.value[start : self.count] = values
        return np.arange(start, self.count)

    def pin(self, labels: Ids, reason: str) -> None:
        self.pins.append((labels, reason))

    def unite(self, first: Ids, second: Ids) -> None:
        if not np.array_equal(first, second):
            self.pairs.append((first, second))

    def roots(self) -> Ids:
        """By label the least of those that are one with it."""
        from scipy.sparse import coo_array  # commands without a network to follow start without scipy
        from scipy.sparse.csgraph import connected_components

        if not self.pairs:
            return np.arange(self.labels)
        first, second = (np.concatenate(side) for side in zip(*self.pairs, strict=True))
        edges = coo_array((np.ones(len(first)), (first, second)), shape=(self.labels, self.labels))
        _, component = connected_components(edges, directed=False)
        least = np.full(self.labels, self.labels)
        np.minimum.at(least, component, np.arange(self.labels))
        roots: Ids = least[component].astype(np.int64)
        return roots

"""Lets several groups of a convolution share one, where silent channels leave the groups uneven.

A convolution's groups have as many inputs each, and as many outputs. What is left of small groups can stand in one
group together: their weights lie in blocks on its diagonal, with zeros beside them, so that nothing changes. Inputs and
outputs then stand in another order, which is possible where every tensor and layer that holds some of these channels
holds just them, in the order in which they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmark.removal.labels import Ids, Layer, Mask, Trace


@dataclass(frozen=True)
class Packing:
    """New groups of a convolution: the labels of its inputs and outputs, groups × width; dead ones fill them up."""

    reads: Ids
    writes: Ids

    @property
    def labels(self) -> Ids:
        return np.concatenate([self.reads.ravel(), self.writes.ravel()])


def find_packings(followed: Trace, dead: Mask) -> dict[str, Packing]:
    """By name the grouped convolutions that are smaller if groups that `dead` channels leave small share one."""
    grouped = {name: layer for name, layer in followed.dense.items() if layer.blocks > 1}
    sides = {name: _sides(layer) for name, layer in grouped.items()}
    uneven = {name for name, two in sides.items() if any(np.ptp((~dead[side]).sum(1)) for side in two)}
    if not uneven:
        return {}
    free = _free(followed, sides)
    packings = {name: _pack(followed, layer, dead) for name, layer in grouped.items() if name in uneven & free}
    return {name: packing for name, packing in packings.items() if packing is not None}


def _sides(layer: Layer) -> tuple[Ids, Ids]:
    """The labels of a layer's inputs and outputs, groups × width."""
    assert layer.reads is not None
    return layer.reads.reshape(layer.blocks, -1), layer.writes.reshape(layer.blocks, -1)


def _free(followed: Trace, sides: dict[str, tuple[Ids, Ids]]) -> set[str]:
    """The layers whose inputs and outputs can be reordered."""
    chains = [side.ravel() for two in sides.values() for side in two]
    owner, bound = np.full(followed.size, -1), np.zeros(len(chains), dtype=bool)
    for index, chain in enumerate(chains):
        bound[index] = len(np.unique(chain)) < len(chain) or not followed.pinned.keys().isdisjoint(chain.tolist())
        bound[owner[chain][owner[chain] >= 0]] = True  # channels of two grouped layers
        bound[index] |= (owner[chain] >= 0).any()
        owner[chain] = index
    for labels in _appearances(followed):
        for index in {int(i) for i in np.unique(owner[labels]) if i >= 0}:
            bound[index] |= not np.array_equal(labels, chains[index])
    plain = (followed.layers[name].as_usual for name in sides)
    pairs = zip(sides, bound[::2], bound[1::2], plain, strict=True)
    return {name for name, reads, writes, as_usual in pairs if as_usual and not reads and not writes}


def _appearances(followed: Trace) -> Iterator[Ids]:
    """The labels of the channels that each tensor, layer, parameter and part of a cut holds, in order."""
    for seen in followed.seen:
        yield from (followed.label[shape.cells.ravel()] for shape in seen.results or () if shape.cells is not None)
    for layer in (*followed.layers.values(), *followed.idle.values()):
        yield layer.writes
        if layer.reads is not None:
            yield layer.reads
    yield from followed.parameters.values()
    yield from (part for cut in followed.cuts for part in cut.parts)


def _pack(followed: Trace, layer: Layer, dead: Mask) -> Packing | None:
    """The groups that make a layer and those beside it smallest; None where that is as many as are left of them."""
    sides = _sides(layer)
    living = [~dead[side] for side in sides]
    counts = np.array([side.sum(1) for side in living])
    present = np.flatnonzero(counts.any(0))
    if not counts.any(1).all():
        return None
    beside = _weights_beside(followed, layer, dead)

    def size(widths: Ids, groups: int) -> float:
        kernel = layer.module.weight[0, 0].numel()
        return float(groups * (widths.prod() * kernel + widths @ beside))

    best, least = None, size(counts.max(1), len(present))
    for groups in range(1, len(present)):
        place, widths = _spread(counts[:, present], groups)
        if (groups * widths <= [side.size for side in sides]).all() and size(widths, groups) < least:
            best, least = place, size(widths, groups)
    if best is None:
        return None
    order = [present[best == i] for i in range(best.max() + 1)]
    return Packing(*(_fill(side, alive, order) for side, alive in zip(sides, living, strict=True)))


def _spread(counts: Ids, groups: int) -> tuple[Ids, Ids]:
    """In which of some new groups each old one comes, the largest first, and the widths that these then need."""
    place, filled = np.empty(counts.shape[1], dtype=np.int64), np.zeros((2, groups), dtype=np.int64)
    for index in np.argsort(-counts.sum(0), kind="stable"):
        after = filled + counts[:, index : index + 1]
        place[index] = np.lexsort([after.sum(0), after.max(0)])[0]
        filled[:, place[index]] += counts[:, index]
    return place, filled.max(1)


def _fill(side: Ids, living: Mask, order: list[Ids]) -> Ids:
    """The living labels of old groups in new ones, filled up with dead ones to the width of the widest."""
    rows = [side[old][living[old]] for old in order]
    width, spare = max(map(len, rows)), iter(side[~living])
    return np.array([[*row, *(next(spare) for _ in range(width - len(row)))] for row in rows], dtype=np.int64)


def _weights_beside(followed: Trace, layer: Layer, dead: Mask) -> Ids:
    """How many weights of other layers make an input of a layer, and how many use an output of it."""
    assert layer.reads is not None
    makes, uses = 0, 0
    for other in followed.dense.values():
        assert other.reads is not None
        kernel = int(other.module.weight[0, 0].numel())
        if layer.reads[0] in other.writes:
            makes += kernel * int((~dead[other.reads]).sum())
        if layer.writes[0] in other.reads:
            uses += kernel * int((~dead[other.writes]).sum())
    return np.array([makes, uses])

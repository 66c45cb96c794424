"""Silent channels that must stay all the same: carriers of constants, and husks that keep a layer's shape valid."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from benchmark.removal.labels import Ids, Mask, Trace
from benchmark.removal.packing import Packing
from benchmark.removal.readers import Reader

WEAKEST_CARRIER = 1e-3  # of the largest constant it takes over: below it float32 would lose too many digits

Carriers = dict[str, dict[int, int]]  # by reader and its block of inputs: the carrier's place among the inputs


def find_carriers(
    readers: list[Reader], dead: Mask, lost: dict[str, Mask]
) -> tuple[Carriers, list[tuple[Reader, Ids]]]:
    """Per reader that cannot take constants over and its block the carrier; where there is none, what could be one.

    `lost` masks the inputs whose constants a reader would miss.
    """
    carriers: Carriers = {}
    missing = []
    for reader in readers:
        if reader.absorbs or not lost[reader.name].any():
            continue
        emitted, going = np.abs(np.nan_to_num(reader.constants)), dead[reader.reads]
        for index, block in enumerate(np.split(np.arange(len(going)), reader.blocks)):
            losses = block[lost[reader.name][block]]
            if not len(losses):
                continue
            strong = emitted >= WEAKEST_CARRIER * emitted[losses].max()
            staying = np.where(strong & ~going, emitted, 0)[block]
            if staying.any():
                carriers.setdefault(reader.name, {})[index] = int(block[staying.argmax()])
            else:
                missing.append((reader, block[(going & strong)[block]]))
    return carriers, missing


def best_carriers(followed: Trace, missing: list[tuple[Reader, Ids]], dead: Mask, husks: Mask) -> list[int]:
    """The channels that spare a husk, then serve most of the readers without a carrier, then emit most.

    One is the best; others join it that serve readers with none of the same channels among what they could have.
    """
    spares = husks.copy()
    for layer in followed.layers.values():
        if dead[layer.writes].all():
            spares[layer.writes] = True
    score: dict[int, tuple[bool, int, float]] = {}
    rivals: dict[int, set[int]] = defaultdict(set)
    for reader, places in missing:
        labels = reader.reads[places].tolist()
        for label, emitted in zip(labels, np.abs(reader.constants[places]).tolist(), strict=True):
            _, served, strength = score.get(label, (False, 0, 0.0))
            score[label] = bool(spares[label]), served + 1, max(strength, emitted)
            rivals[label].update(labels)
    chosen: list[int] = []
    settled: set[int] = set()
    for label in sorted(sorted(score), key=score.__getitem__, reverse=True):
        if settled.isdisjoint(rivals[label]):
            chosen.append(label)
            settled |= rivals[label]
    return chosen


def find_husks(followed: Trace, dead: Mask, packings: dict[str, Packing] | None = None) -> Mask:
    """The dead channels that stay: one in a layer without a living one, and what keeps groups and parts alike."""
    husks, packed = np.zeros_like(dead), packings or {}
    for packing in packed.values():
        husks[packing.labels] = dead[packing.labels]
    while True:
        revived: list[int] = []
        gone = dead & ~husks
        for layer in followed.dense.values():
            assert layer.reads is not None
            if gone[layer.writes].all():
                revived.append(int(layer.writes[0]))
            elif layer.blocks > 1 and layer.name not in packed:
                revived += _shortfall(layer.blocks, layer.reads, layer.writes, gone)
        for cut in followed.cuts:
            alike = max((int((~gone[part]).sum()) for part in cut.alike), default=0)
            revived += _narrow(cut.parts, 1, gone) + _narrow(cut.alike, alike, gone)
        if not revived:
            return husks
        husks[revived] = True


def _narrow(parts: list[Ids], width: int, gone: Mask) -> list[int]:
    """What parts of a cut lack to be of a width at least."""
    lacking: list[int] = []
    for ids in parts:
        if (count := int((~gone[ids]).sum())) < width:
            lacking += ids[gone[ids]][: width - count].tolist()
    return lacking


def _shortfall(blocks: int, reads: Ids, writes: Ids, gone: Mask) -> list[int]:
    """What a grouped convolution lacks so that its groups, but for those gone whole, have equal widths."""
    sides = [reads.reshape(blocks, -1), writes.reshape(blocks, -1)]
    present = np.any([~gone[side].all(1) for side in sides], axis=0)
    lacking: list[int] = []
    for side in sides:
        counts = (~gone[side]).sum(1)
        width = max(1, counts[present].max())
        for ids, count in zip(side[present], counts[present], strict=True):
            if count < width:
                lacking += ids[gone[ids]][: width - count].tolist()
    return lacking

"""Silent channels that must stay all the same: carriers of constants, and husks that keep a layer's shape valid."""

from __future__ import annotations

import numpy as np
from torch import nn

from benchmark.removal.labels import Trace
from benchmark.removal.operations import convolution_groups, sees_constants_everywhere

WEAKEST_CARRIER = 1e-3  # of the largest constant it takes over: below it float32 would lose too many digits


def find_carriers(
    followed: Trace,
    layers: dict[str, nn.Module],
    constants: dict[str, np.ndarray],
    dead: np.ndarray,
    lost: dict[str, np.ndarray],
) -> tuple[dict[str, dict[int, int]], list[tuple[str, np.ndarray]]]:
    """Per padded reader and its group the carrier's input position; where there is none, the positions that could be.

    `lost` masks the inputs whose constants a reader would miss.
    """
    carriers: dict[str, dict[int, int]] = {}
    missing = []
    for name, ids in followed.reads.items():
        if sees_constants_everywhere(layers[name]) or not lost[name].any():
            continue
        emitted, going = np.abs(np.nan_to_num(constants[name])), dead[ids]
        for group, block in enumerate(np.split(np.arange(len(ids)), convolution_groups(layers[name]))):
            losses = block[lost[name][block]]
            if not len(losses):
                continue
            strong = emitted >= WEAKEST_CARRIER * emitted[losses].max()
            staying = np.where(strong & ~going, emitted, 0)[block]
            if staying.any():
                carriers.setdefault(name, {})[group] = int(block[staying.argmax()])
            else:
                missing.append((name, block[(going & strong)[block]]))
    return carriers, missing


def best_carrier(
    followed: Trace,
    constants: dict[str, np.ndarray],
    missing: list[tuple[str, np.ndarray]],
    dead: np.ndarray,
    husks: np.ndarray,
) -> int:
    """The channel that spares a husk, then serves most of the readers without a carrier, then emits most."""
    spares = husks.copy()
    for ids in followed.writes.values():
        if dead[ids].all():
            spares[ids] = True
    score: dict[int, tuple[bool, int, float]] = {}
    for name, positions in missing:
        for position in positions.tolist():
            label = int(followed.reads[name][position])
            _, served, strength = score.get(label, (False, 0, 0.0))
            emitted = abs(float(constants[name][position]))
            score[label] = bool(spares[label]), served + 1, max(strength, emitted)
    return max(sorted(score), key=score.__getitem__)


def find_husks(followed: Trace, layers: dict[str, nn.Module], dead: np.ndarray) -> np.ndarray:
    """The dead channels that stay: one in a layer without a living one, and what keeps convolution groups alike."""
    husks = np.zeros_like(dead)
    while True:
        revived: list[int] = []
        for name, reads in followed.reads.items():
            gone, writes = dead & ~husks, followed.writes[name]
            if gone[writes].all():
                revived.append(writes[0])
            elif convolution_groups(layers[name]) > 1:
                revived += _shortfall(convolution_groups(layers[name]), reads, writes, gone)
        if not revived:
            return husks
        husks[revived] = True


def _shortfall(blocks: int, reads: np.ndarray, writes: np.ndarray, gone: np.ndarray) -> list[int]:
    """What a grouped convolution lacks so that its groups, but for those gone whole, have equal widths."""
    sides = [reads.reshape(blocks, -1), writes.reshape(blocks, -1)]
    present = np.any([~gone[side].all(1) for side in sides], axis=0)
    lacking: list[int] = []
    for side in sides:
        counts = (~gone[side]).sum(1)
        width = max(1, counts[present].max())
        for ids, count in zip(side[present], counts[present], strict=True):
            lacking += ids[gone[ids]][: width - count].tolist()
    return lacking

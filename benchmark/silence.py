"""Finds the silent channels of a traced network, and which of them must stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from benchmark.labels import Trace

UNIFORM = 1e-12  # relative spread below which float64 rounding, not the input, makes a received value vary


@dataclass
class Silence:
    """What can be removed from a network; `dead` and `husks` are masks over channel labels."""

    dead: np.ndarray  # silent: nothing needs to read them once their constants are handed over
    husks: np.ndarray  # of the dead, those that stay, unread, because their layers need them to keep a valid shape
    constants: dict[str, np.ndarray]  # by dense layer: what it receives on each input channel, NaN if no constant
    carriers: dict[str, dict[int, int]]  # by padded reader and its group: input position that takes the constants
    collapsed: bool  # whether a group has no living channel

    @property
    def gone(self) -> np.ndarray:
        """The channels to remove."""
        return self.dead & ~self.husks


def find_silence(followed: Trace, layers: dict[str, nn.Module], groups: dict[str, np.ndarray]) -> Silence:
    """The silent channels of a network in evaluation mode.

    `layers` are its modules by name, `groups` the labels of its removable groups by name. A channel is silent if each
    of its readers receives a constant on it, or has no nonzero weight from it to a channel that is not silent.
    """
    links = {name: _links(layers[name]) for name in followed.reads}
    constants = _constants(followed, layers, links)
    needed = np.ones(followed.size, dtype=bool)
    for ids in groups.values():
        needed[ids] = False
    dead = ~_living(followed, links, constants, needed)
    collapsed = any(dead[ids].all() for ids in groups.values())
    while True:
        husks = _husks(followed, layers, dead)
        carriers, missing = _carriers(followed, layers, links, constants, dead)
        if not missing:
            return Silence(dead, husks, constants, carriers, collapsed)
        dead[_best_carrier(followed, constants, missing, dead, husks)] = False


def sees_constants_everywhere(layer: nn.Module) -> bool:
    """Whether a constant input channel adds the same to the layer's output at every position."""
    if isinstance(layer, nn.Linear) or layer.padding_mode != "zeros":
        return True
    if isinstance(layer.padding, str):
        return layer.padding == "valid" or all(k == 1 for k in layer.kernel_size)
    return all(p == 0 for p in layer.padding)


def convolution_groups(layer: nn.Module) -> int:
    """Into how many blocks of inputs and outputs a dense layer falls; 1 for all but grouped convolutions."""
    return getattr(layer, "groups", 1)


def _links(layer: nn.Module) -> np.ndarray:
    """Whether any weight joins each output channel to each input channel; outputs × inputs."""
    weight, blocks = layer.weight.detach(), convolution_groups(layer)
    nonzero = weight != 0
    nonzero = (nonzero if weight.dim() == 2 else nonzero.flatten(2).any(-1)).cpu().numpy()
    if blocks == 1:
        return nonzero
    outputs, inputs = nonzero.shape
    links = np.zeros((blocks, outputs // blocks, blocks, inputs), dtype=bool)
    links[np.arange(blocks), :, np.arange(blocks)] = nonzero.reshape(blocks, -1, inputs)
    return links.reshape(outputs, blocks * inputs)


def _constants(followed: Trace, layers: dict[str, nn.Module], links: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By dense layer, the constant it receives on each input channel, NaN where none."""
    free = _input_free(followed, layers, links)
    constants = {}
    for name, received in followed.received.items():
        low, high = (bound.cpu().numpy() for bound in received)
        uniform = high - low <= UNIFORM * np.maximum(np.abs(low), np.abs(high))
        for step in followed.steps:
            if step.kind == "dense" and step.module == name:
                uniform &= free[step.sources[0]]
        constants[name] = np.where(uniform, (low + high) / 2, np.nan)
    return constants


def _input_free(followed: Trace, layers: dict[str, nn.Module], links: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By node, the channels that no path of nonzero weights joins to the network's input."""
    free: dict[str, np.ndarray] = {}
    for step in followed.steps:
        sources = [free[s] for s in step.sources]
        if step.kind == "start":
            free[step.node] = np.zeros(len(followed.labels[step.node].ids), dtype=bool)
        elif step.kind == "dense":
            free[step.node] = (
                ~links[step.module][:, ~sources[0]].any(1) if sources[0].any() else ~links[step.module].any(1)
            )
        elif step.kind == "channelwise":
            free[step.node] = sources[0] | _zero_scale(layers[step.module])
        elif step.kind == "concat":
            free[step.node] = np.concatenate(sources)
        elif step.kind == "repeat":
            free[step.node] = np.repeat(sources[0], step.times)
        else:
            free[step.node] = np.logical_and.reduce(sources)
    return free


def _zero_scale(layer: nn.Module) -> np.ndarray | bool:
    if layer.weight is None:
        return False
    return layer.weight.detach().reshape(len(layer.weight), -1).eq(0).all(1).cpu().numpy()


def _living(
    followed: Trace, links: dict[str, np.ndarray], constants: dict[str, np.ndarray], needed: np.ndarray
) -> np.ndarray:
    """The channels that the `needed` ones depend on, and those themselves, as a mask over labels."""
    living, rows_seen = needed.copy(), dict.fromkeys(followed.reads, 0)
    grown = True
    while grown:
        grown = False
        for name in reversed(followed.reads):
            rows = living[followed.writes[name]]
            if rows.sum() > rows_seen[name]:
                rows_seen[name] = rows.sum()
                used = links[name].any(0) if rows.all() else links[name][rows].any(0)
                living[followed.reads[name][used & np.isnan(constants[name])]] = True
                grown = True
    return living


def _carriers(
    followed: Trace,
    layers: dict[str, nn.Module],
    links: dict[str, np.ndarray],
    constants: dict[str, np.ndarray],
    dead: np.ndarray,
) -> tuple[dict[str, dict[int, int]], list[tuple[str, np.ndarray]]]:
    """Per padded reader and its group the carrier's input position; where there is none, the positions that could be.

    A reader needs a carrier if a constant that it would lose reaches one of its living outputs.
    """
    carriers: dict[str, dict[int, int]] = {}
    missing = []
    for name, ids in followed.reads.items():
        going = dead[ids]
        if sees_constants_everywhere(layers[name]) or not going.any():
            continue
        emitted = np.abs(np.nan_to_num(constants[name]))
        lost = going & (emitted != 0) & links[name][~dead[followed.writes[name]]].any(0)
        for group, block in enumerate(np.split(np.arange(len(ids)), convolution_groups(layers[name]))):
            staying = np.where(going, 0, emitted)[block]
            if lost[block].any() and staying.any():
                carriers.setdefault(name, {})[group] = int(block[staying.argmax()])
            elif lost[block].any():
                missing.append((name, block[going[block] & (emitted[block] != 0)]))
    return carriers, missing


def _best_carrier(
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


def _husks(followed: Trace, layers: dict[str, nn.Module], dead: np.ndarray) -> np.ndarray:
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

"""Finds the silent channels of a traced network, and which of them must stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from benchmark.removal.carriers import best_carrier, find_carriers, find_husks
from benchmark.removal.labels import Trace
from benchmark.removal.operations import convolution_groups

ROUNDING = 1e-12  # of the largest value a layer receives: below it float64 rounding, not the input, makes values vary


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
    living, rows = _needs(followed, layers, links, constants, needed)
    collapsed = any(not living[ids].any() for ids in groups.values())
    while True:
        dead = ~living
        husks = find_husks(followed, layers, dead)
        lost = _lost(followed, links, constants, dead, rows)
        carriers, missing = find_carriers(followed, layers, constants, dead, lost)
        if not missing:
            return Silence(dead, husks, constants, carriers, collapsed)
        needed[best_carrier(followed, constants, missing, dead, husks)] = True
        living, rows = _needs(followed, layers, links, constants, needed)  # and with a carrier all that makes it


def _lost(
    followed: Trace,
    links: dict[str, np.ndarray],
    constants: dict[str, np.ndarray],
    dead: np.ndarray,
    rows: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """By dense layer, the inputs whose constants it would miss in an output that matters, were the dead ones gone."""
    lost = {}
    for name, ids in followed.reads.items():
        candidates = dead[ids] & (np.nan_to_num(constants[name]) != 0)
        if candidates.any():
            candidates &= links[name][rows[name]].any(0)
        lost[name] = candidates
    return lost


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
        noise = ROUNDING * max(np.abs(low).max(), np.abs(high).max())
        uniform = high - low <= noise
        for step in followed.steps:
            if step.kind == "dense" and step.module == name:
                uniform &= free[step.sources[0]]
        middle = (low + high) / 2
        constants[name] = np.where(uniform, np.where(np.abs(middle) > noise, middle, 0), np.nan)
    return constants


def _input_free(followed: Trace, layers: dict[str, nn.Module], links: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By node, the channels whose value neither the network's input nor its size changes.

    No path of nonzero weights joins them to the input, and no constant but zero of theirs met zeros at a border.
    """
    free: dict[str, np.ndarray] = {}
    for step in followed.steps:
        sources = [free[s] for s in step.sources]
        if step.kind == "start":
            free[step.node] = np.zeros(len(followed.labels[step.node].ids), dtype=bool)
        elif step.kind == "dense":
            bound = ~sources[0] if step.border is None else ~sources[0] | step.border
            free[step.node] = ~links[step.module][:, bound].any(1)
        elif step.kind == "channelwise":
            whole = sources[0] if step.border is None else sources[0] & ~step.border
            free[step.node] = whole | _zero_scale(layers[step.module])
        elif step.kind == "concat":
            free[step.node] = np.concatenate(sources)
        elif step.kind == "repeat":
            free[step.node] = np.repeat(sources[0], step.times)
        else:
            free[step.node] = np.logical_and.reduce(sources)
            if step.border is not None:
                free[step.node] &= ~step.border
    return free


def _zero_scale(layer: nn.Module) -> np.ndarray:
    if layer.weight is None:
        return np.zeros(1, dtype=bool)
    return layer.weight.detach().reshape(len(layer.weight), -1).eq(0).all(1).cpu().numpy()


def _needs(
    followed: Trace,
    layers: dict[str, nn.Module],
    links: dict[str, np.ndarray],
    constants: dict[str, np.ndarray],
    needed: np.ndarray,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The channels that the `needed` ones depend on, and those themselves; by dense layer, the outputs that do matter.

    An output may not matter although its channel does: in a residual stream, behind a scale of zero.
    """
    living = needed.copy()
    seen = {node: needed[labels.ids] for node, labels in followed.labels.items()}
    rows = {name: np.zeros(len(followed.writes[name]), dtype=bool) for name in followed.reads}
    for step in reversed(followed.steps):
        own = seen[step.node]
        if step.kind == "dense":
            rows[step.module] |= own
            linked = links[step.module]
            used = (linked if own.all() else linked[own]).any(0) & np.isnan(constants[step.module])
            living[followed.reads[step.module][used]] = True
            seen[step.sources[0]] |= used
        elif step.kind == "channelwise":
            seen[step.sources[0]] |= own & ~_zero_scale(layers[step.module])
        elif step.kind == "repeat":
            seen[step.sources[0]] |= own.reshape(-1, step.times).any(1)
        elif step.kind == "concat":
            ends = np.cumsum([len(seen[source]) for source in step.sources])
            for source, part in zip(step.sources, np.split(own, ends[:-1]), strict=True):
                seen[source] |= part
        else:
            for source in step.sources:
                seen[source] |= own
    return living, rows

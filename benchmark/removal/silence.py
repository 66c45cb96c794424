"""Finds the silent channels of a traced network, and which of them must stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.removal.carriers import Carriers, best_carriers, find_carriers, find_husks
from benchmark.removal.labels import Ids, Mask, Trace, Values
from benchmark.removal.packing import Packing, find_packings
from benchmark.removal.readers import Reader, find_constants, zero_scale


@dataclass
class Silence:
    """What can be removed from a network; `dead` and `husks` are masks over channel labels."""

    dead: Mask  # silent: nothing needs to read them once their constants are handed over
    husks: Mask  # of the dead, those that stay, unread, because their layers need them to keep a valid shape
    constants: dict[str, Values]  # by dense layer: what it receives on each input channel, NaN if no constant
    carriers: Carriers  # where constants stay for a reader that cannot take them over
    packings: dict[str, Packing]  # new groups of convolutions by name, where several old ones share one
    collapsed: bool  # whether a group has no living channel

    @property
    def gone(self) -> Mask:
        """The channels to remove."""
        return self.dead & ~self.husks


def find_silence(followed: Trace, groups: dict[str, Ids]) -> Silence:
    """The silent channels of a network in evaluation mode; `groups` are the labels of its removable groups by name.

    A channel is silent if each of its readers receives a constant on it, or has no nonzero weight from it to a channel
    that is not silent.
    """
    constant, readers = find_constants(followed)
    needed = np.ones(followed.size, dtype=bool)
    for ids in groups.values():
        needed[ids] = False
    carrying = np.zeros(followed.size, dtype=bool)
    constants = {reader.name: reader.constants for reader in readers}
    living, rows = _needs(followed, constant, readers, needed, carrying)
    collapsed = any(not living[ids].any() for ids in groups.values())
    while True:
        dead = ~living
        packings = find_packings(followed, dead)
        husks = find_husks(followed, dead, packings)
        carriers, missing = find_carriers(readers, dead, _lost(readers, dead, rows))
        if not missing:
            return Silence(dead, husks, constants, carriers, packings, collapsed)
        carrying[best_carriers(followed, missing, dead, husks)] = True
        living, rows = _needs(followed, constant, readers, needed, carrying)


def _needs(
    followed: Trace, constant: Mask, readers: list[Reader], needed: Mask, carrying: Mask
) -> tuple[Mask, dict[str, Mask]]:
    """The channels that the `needed` and the `carrying` depend on, and those; by dense layer, the outputs that matter.

    An output may not matter although its channel does: in a residual stream, behind a scale of zero.
    """
    living = needed.copy()
    seen = needed[followed.label]  # by cell: whether anything that is needed depends on it
    by_name = {reader.name: reader for reader in readers}
    rows = {reader.name: np.zeros(len(reader.writes), dtype=bool) for reader in readers}
    for step in reversed(followed.steps):
        own = seen[step.cells]
        match step.kind:
            case "dense":
                reader = by_name[step.layer]
                rows[step.layer] |= own
                used = (reader.links if own.all() else reader.links[own]).any(0) & np.isnan(reader.constants)
                used |= carrying[reader.reads]
                living[reader.reads[used]] = True
                seen[step.sources[0][used]] = True
            case "opaque":
                for source in step.sources:
                    seen[source] = True
            case "scale":
                moved = own & ~zero_scale(followed, step)
                seen[step.sources[0][moved]] = True
            case "product":
                zeros = [constant[source] & (followed.value[source] == 0) for source in step.sources]
                for source, zero in zip(step.sources, zeros, strict=True):
                    seen[source[own & (zero | ~np.logical_or.reduce(zeros))]] = True
            case _:
                for source in step.sources:
                    seen[source[own]] = True
    return living, rows


def _lost(readers: list[Reader], dead: Mask, rows: dict[str, Mask]) -> dict[str, Mask]:
    """By dense layer, the inputs whose constants it would miss in an output that matters, were the dead ones gone."""
    lost = {}
    for reader in readers:
        candidates = dead[reader.reads] & (np.nan_to_num(reader.constants) != 0)
        if candidates.any():
            candidates &= reader.links[rows[reader.name]].any(0)
        lost[reader.name] = candidates
    return lost

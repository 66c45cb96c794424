"""Finds the channels whose number the code depends on: a size written as a number, a scale by the width, a half.

Nothing in a forward pass tells a size that follows the widths from one that does not. So the network runs once more
with other widths, and its pass must be the one that was followed (`replay.py`). Only shapes count in that run: layers
keep their first rows, not those that would be left. It asks which channels could go; the pass of the network from
which some did go is compared too, in `reduction.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor, nn

from benchmark.removal.carriers import find_husks
from benchmark.removal.labels import Ids, Mask, Trace, hidden_groups, reasons_to_keep
from benchmark.removal.order import Order
from benchmark.removal.replay import Values, find_difference, hollow, unchanged
from benchmark.removal.slicing import narrow_network


def is_same_pass(module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace) -> bool:
    """Whether the forward pass of a network of other widths is seen to be the one that was followed.

    Shapes count alone, so it runs on zeros, quickly; where code minds the values, that is another pass.
    """
    return _reason(module, inputs, followed, _removable(followed), hollow) is None


def pin_fixed_widths(module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace) -> None:
    """Pins the channels without any of which the forward pass would not be the same."""

    def pin(groups: list[Ids]) -> None:
        reason = _reason(module, inputs, followed, groups)
        if reason is not None and len(groups) == 1:
            followed.pin(groups[0], reason)
        elif reason is not None:
            pin(groups[: len(groups) // 2])
            pin(groups[len(groups) // 2 :])

    pin(_removable(followed))
    left = _removable(followed)
    reason = _reason(module, inputs, followed, left)
    if reason is not None:
        followed.pin(np.concatenate(left), reason)


def _removable(followed: Trace) -> list[Ids]:
    groups = hidden_groups(followed)
    kept = reasons_to_keep(followed, groups)
    return [ids for name, ids in groups.items() if name not in kept]


def _reason(
    module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace, groups: list[Ids], values: Values = unchanged
) -> str | None:
    """Why channels of these groups cannot go: what differs when some of them do."""
    for chosen in _choices(followed, groups):
        dead = np.zeros(followed.size, dtype=bool)
        for ids in groups:
            dead[ids] = chosen[ids]
        gone = dead & ~find_husks(followed, dead)
        if gone.any():
            order = Order(~gone)
            narrow = narrow_network(module, followed, order, values)
            if reason := find_difference(module, narrow, inputs, followed, order, values):
                return reason
    return None


def _choices(followed: Trace, groups: list[Ids]) -> Iterator[Mask]:
    """Channels to take out: a random half, and, if the code picks some by their place, those in front.

    A random half may fall evenly on both sides of the middle. Of a grouped convolution whole groups go, since what is
    left of groups that are uneven would stay.
    """
    random = np.random.default_rng(0)
    half = random.random(followed.size) < 0.5
    for ids in groups:
        half[ids[:1]] = True
    for layer in followed.dense.values():
        if layer.blocks > 1 and layer.reads is not None:
            whole = random.random(layer.blocks) < 0.5
            whole[0], whole[-1] = True, False
            for side in (layer.reads, layer.writes):
                half[side.reshape(layer.blocks, -1)] = whole[:, None]
    yield _alike(followed, half)
    if followed.picks:
        front = np.zeros(followed.size, dtype=bool)
        for ids in groups:
            front[ids[: len(ids) // 3 + 1]] = True
        yield _alike(followed, front)


def _alike(followed: Trace, chosen: Mask) -> Mask:
    """The same channels in all parts of a cut that must keep the same width."""
    for cut in followed.cuts:
        for part in cut.alike:
            chosen[part] = chosen[cut.alike[0][: len(part)]]
    return chosen

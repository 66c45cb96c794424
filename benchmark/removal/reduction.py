"""Takes the silent channels out of a network, as far as its forward pass stays the one that was followed.

What code does may depend on which channels go, and on how many: on the width as such, on a half of it, on a bias that
a layer gets. So the pass of the reduced network is compared with the one that was followed (`replay.py`); groups
without whose channels it would be another one stay whole.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from benchmark.removal.labels import Ids, Trace, hidden_groups, reasons_to_keep
from benchmark.removal.passes import first_samples, following
from benchmark.removal.replay import find_difference, hollow, unchanged
from benchmark.removal.silence import Silence, find_silence
from benchmark.removal.slicing import order_left, slice_network
from benchmark.removal.tensors import copy_with

Groups = dict[str, Ids]


def reduce_network(
    silenced: nn.Module, inputs: tuple[Tensor, ...], followed: Trace
) -> tuple[nn.Module, Silence, dict[str, str]]:
    """The network without its silent channels, what was silent, and which groups stay whole, with the reasons.

    Pins the channels of groups that stay whole since the pass would be another one without some of theirs.
    """
    groups, few = hidden_groups(followed), first_samples(inputs)
    while True:
        kept_whole = reasons_to_keep(followed, groups)
        removable = {name: ids for name, ids in groups.items() if name not in kept_whole}
        reduced, silence, reason = _reduced(silenced, few, followed, removable)
        if reason is None:
            return reduced, silence, kept_whole
        if not _pin(silenced, few, followed, removable):
            followed.pin(np.concatenate(list(removable.values())), reason)


def _reduced(
    silenced: nn.Module, few: tuple[Tensor, ...], followed: Trace, removable: Groups
) -> tuple[nn.Module, Silence, str | None]:
    """The network without what is silent in some groups, and how its forward pass differs, if it does."""
    silence = find_silence(followed, removable)
    reduced = slice_network(silenced, followed, silence)
    if not silence.dead.any():
        return reduced, silence, None
    order = order_left(~silence.gone, silence.packings)
    with following(silenced, few[0]):
        for values in (hollow, unchanged):  # quickly; where code minds the values, that is another pass
            reason = find_difference(silenced, copy_with(reduced, values), few, followed, order, values)
            if reason is None:
                break
    return reduced, silence, reason


def _pin(silenced: nn.Module, few: tuple[Tensor, ...], followed: Trace, groups: Groups) -> bool:
    """Pins the groups each of which alone makes the pass another one; whether there are any."""
    reason = _reduced(silenced, few, followed, groups)[2]
    if reason is None:
        return False
    if len(groups) == 1:
        followed.pin(next(iter(groups.values())), reason)
        return True
    items = list(groups.items())
    first, second = (
        _pin(silenced, few, followed, dict(half)) for half in (items[: len(items) // 2], items[len(items) // 2 :])
    )
    return first or second

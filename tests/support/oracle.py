"""Which channels of a network are removable, found without following any: by ablation and exhaustive search."""

from __future__ import annotations

import itertools

import torch
from hypothesis import assume
from torch import Tensor, nn

from benchmark.networks.blocks import ACTIVATIONS
from tests.support.random_networks import Built

WEAKEST_CARRIER = 1e-3  # of the largest constant that it takes over
SEARCHED = 14  # channels over whose subsets the oracle searches


class Oracle:
    """Which channels matter, by ablation: no channel propagation, only forward passes with channels held still."""

    def __init__(self, built: Built):
        self.built, self.layers = built, built.network.layers
        self.received: dict[str, list[Tensor]] = {name: [] for name in built.reads}
        self.stuck = False
        self.still = torch.tensor([], dtype=torch.long)
        hooks = [self.layers[name].register_forward_pre_hook(self._record(name)) for name in built.reads]
        hooks += [
            layer.register_forward_hook(self._watch) for layer in self.layers.values() if type(layer) in FLATTENING
        ]
        hooks += [layer.register_forward_hook(self._watch_border) for layer in self.layers.values()]
        with torch.no_grad():
            self.logits = built.network(built.batch)
        for hook in hooks:
            hook.remove()
        self.stuck |= any(self._shifts(xs) for xs in self.received.values())
        joined = {name: torch.cat([flat(x) for x in xs], 1) for name, xs in self.received.items()}
        self.stills = [  # two ways to hold a channel still; both are its value where that is constant
            {name: values.mean(1) for name, values in joined.items()},
            {name: values[:, 0].clone() for name, values in joined.items()},
        ]
        self.values = self.stills[0]

    def _record(self, name: str):
        return lambda layer, inputs: self.received[name].append(inputs[0].clone())

    def _watch(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        moves = [x.std(0).flatten(1).amax(1) > 1e-9 if x.dim() > 2 else x.std(0) > 1e-9 for x in (inputs[0], output)]
        self.stuck |= bool((moves[0] & ~moves[1]).any())

    def _watch_border(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        """Where zeros meet a constant at a border, what comes out varies with the size: exact removal leaves it."""
        if isinstance(layer, nn.Conv2d) and layer.padding != (0, 0) and layer.padding_mode == "zeros":
            own = 0 if layer.bias is None else layer.bias.view(1, -1, 1, 1)
        elif isinstance(layer, nn.AvgPool2d) and layer.padding not in (0, (0, 0)) and layer.count_include_pad:
            own = 0
        else:
            return
        still = output.std(0).flatten(1).amax(1) < 1e-9
        self.stuck |= bool((still & ((output - own).abs().amax((0, 2, 3)) > 1e-9)).any())

    @staticmethod
    def _shifts(calls: list[Tensor]) -> bool:
        """Whether a shared layer receives one constant at one call and another at the next."""
        means, spreads = zip(*[(flat(x).mean(1), flat(x).std(1)) for x in calls], strict=True)
        still = torch.stack(spreads).amax(0) < 1e-9
        return bool((still & (torch.stack(means).std(0, correction=0) > 1e-9)).any())

    def dead(self) -> set[int]:
        """Hidden channels that all readers can take as constants, together, without any change of the logits."""
        if self.logits.std(0).max() <= 1e-10 * self.logits.abs().max():
            return set(self.built.hidden)
        hooks = [self.layers[name].register_forward_pre_hook(self._hold(name)) for name in self.built.reads]
        dead, before = set(), None
        while dead != before:
            before = set(dead)
            for channel in set(self.built.hidden) - dead:
                self.still = torch.tensor([*dead, channel])
                if not any(self._changes(values) for values in self.stills):
                    dead.add(channel)
        for hook in hooks:
            hook.remove()
        return dead

    def _changes(self, values: dict[str, Tensor]) -> bool:
        """Whether the logits change when the readers get these values for the channels held still."""
        before, self.values = self.values, values
        with torch.no_grad():
            change = (self.built.network(self.built.batch) - self.logits).abs().max()
        self.values = before
        return bool(change > 1e-10 * self.logits.abs().max())

    def _hold(self, name: str):
        ids = torch.tensor(self.built.reads[name])

        def hold(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
            held = inputs[0].clone()
            positions = torch.isin(ids, self.still)
            held[:, positions] = self.values[name][positions].view(-1, *[1] * (held.dim() - 2))
            return held

        return hold

    def misses(self, name: str, position: int, dead: set[int]) -> bool:
        """Whether the logits change if a reader gets zero on one input, while all readers get the dead as constants."""
        values = {**self.values, name: self.values[name].clone()}
        values[name][position] = 0
        self.still = torch.tensor(sorted(dead))
        hooks = [self.layers[reader].register_forward_pre_hook(self._hold(reader)) for reader in self.built.reads]
        changes = self._changes(values)
        for hook in hooks:
            hook.remove()
        return changes

    def needed_sets(self, dead: set[int]) -> list[set[int]]:
        """Of each set one channel must stay: as the carrier of a padded reader, or so that a layer is not empty."""
        needed = [set(ids) for ids in self.built.writes.values() if dead.issuperset(ids)]
        for name, ids in self.built.reads.items():
            layer, blocks = self.layers[name], getattr(self.layers[name], "groups", 1)
            if not isinstance(layer, nn.Conv2d) or layer.padding == (0, 0) or layer.padding_mode != "zeros":
                continue
            values = torch.cat([flat(x) for x in self.received[name]], 1)
            constant = ((values - self.values[name][:, None]).abs().amax(1) < 1e-9) & (self.values[name].abs() > 1e-12)
            for block in torch.arange(len(ids)).chunk(blocks):
                lost = [p for p in block.tolist() if ids[p] in dead and constant[p] and self.misses(name, p, dead)]
                weakest = max((self.values[name][p].abs() for p in lost), default=0) * WEAKEST_CARRIER
                able = {ids[p] for p in block.tolist() if constant[p] and self.values[name][p].abs() >= weakest}
                if lost and able <= dead:
                    needed.append(able)
        return needed

    def shares_groups(self, reduced: nn.ModuleDict) -> bool:
        """Whether a reduced network's convolution has fewer groups than are left of the original's."""
        dead = self.dead()
        going = dead.difference(*self.needed_sets(dead))
        for name, ids in self.built.reads.items():
            blocks = getattr(self.layers[name], "groups", 1)
            parts = zip(split(ids, blocks), split(self.built.writes[name], blocks), strict=True)
            if 1 < blocks > reduced[name].groups < sum(not going.issuperset(read + write) for read, write in parts):
                return True
        return False

    def is_valid(self, gone: set[int], needed: list[set[int]]) -> bool:
        """Whether layers stay non-empty, carriers stay, and the groups of grouped convolutions stay alike."""
        if any(gone.issuperset(ids) for ids in needed):
            return False
        for name, ids in self.built.reads.items():
            blocks = getattr(self.layers[name], "groups", 1)
            left = [
                tuple(sum(i not in gone for i in part) for part in parts)
                for parts in zip(split(ids, blocks), split(self.built.writes[name], blocks), strict=True)
            ]
            alike = {counts for counts in left if any(counts)}
            if len(alike) != 1 or not all(next(iter(alike))):
                return False
        return True

    def fewest_left(self) -> int:
        """The smallest number of hidden channels that an exact network can have."""
        dead = self.dead()
        needed = self.needed_sets(dead)
        tables = [
            self.built.reads[name] + self.built.writes[name]
            for name in self.built.reads
            if getattr(self.layers[name], "groups", 1) > 1
        ]
        useful = dead.intersection(itertools.chain(*needed, *tables))
        assume(len(useful) <= SEARCHED)
        for count in range(len(useful) + 1):
            for kept in itertools.combinations(sorted(useful), count):
                if self.is_valid(dead.difference(kept), needed):
                    return len(self.built.hidden) - len(dead) + count
        raise AssertionError("keeping every channel is not valid either")


FLATTENING = {type(make()) for make in ACTIVATIONS.values()} | {nn.MaxPool2d, nn.AdaptiveMaxPool2d}


def flat(x: Tensor) -> Tensor:
    """Channels × everything else."""
    return x.movedim(1, 0).flatten(1)


def split(ids: list[int], blocks: int) -> list[list[int]]:
    width = len(ids) // blocks
    return [ids[i * width : (i + 1) * width] for i in range(blocks)]

"""What following a network's channels yields: cells, the labels that say which of them are one channel, and steps.

A *cell* is one channel of one tensor of the forward pass, a *label* a channel of the network: the cells of a layer's
output, of what an activation makes of it, and of all that is added to it have one label and are removed together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.removal.origins import Origin

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
Kind = Literal["start", "constant", "dense", "scale", "map", "product", "opaque"]
Module = Any  # an nn.Module whose weight, bias and sizes are used: torch types them too loosely
UNFOLLOWED = "it is no plain linear or convolutional layer"
Border = Literal["none", "zeros", "other"]


class UntraceableError(ValueError):
    """The network's forward pass cannot be followed, or nothing in it can be removed."""


@dataclass(frozen=True)
class Step:
    """One operation as far as channels are concerned.

    `kind` says how its cells depend on those that it meets: `start` (on what is not followed), `constant` (on
    nothing), `dense` (a layer mixes its sources), `scale` (a layer treats each source cell alone), `map` (on the cells
    of the same place in every source), `product` (likewise, and a zero makes a zero), `opaque` (in a way that has no
    rule; it makes no cells). Where a `border` mixes in, a constant varies with the position, and with it what is made
    of it with the input's size: unless it is zero and the border is of zeros.
    """

    kind: Kind
    sources: tuple[Ids, ...]
    cells: Ids
    layer: str = ""
    border: Border = "none"
    shifts: bool = False  # whether a constant added to a source cell comes out unchanged
    uses: frozenset[str] = frozenset()  # which of its layer's parameters and statistics a scale is given


@dataclass
class Layer:
    """A layer that channels pass: dense (it reads some and writes others), or one that treats each of them alone.

    Where `bordered` is true, constants do not reach all of the layer's outputs alike: it pads with zeros.
    """

    name: str
    module: Module
    writes: Ids  # labels of its output channels
    reads: Ids | None = None  # of its input channels, if it is dense
    bordered: bool = False
    as_usual: bool = True  # whether it is called as a module, with the forward pass that torch gives it, alone
    takes_bias: bool = True  # whether it adds a bias at every call, or would if it had one
    calls: list[Step] = field(default_factory=list)

    @property
    def is_norm(self) -> bool:
        """Whether it scales each channel by a weight of its own, rather than convolving it."""
        weight = getattr(self.module, "weight", None)
        return self.reads is None and (weight is None or weight.dim() == 1)

    @property
    def blocks(self) -> int:
        """Into how many blocks of inputs and outputs the layer falls; 1 for all but grouped convolutions."""
        return int(getattr(self.module, "groups", 1))


@dataclass(frozen=True)
class Shape:
    """A tensor's shape, and its cells with one position left on the axes on which they do not vary."""

    sizes: tuple[int, ...] | None  # None where it is a view of a weight, which is as wide as its layer
    cells: Ids | None  # None where the tensor is not followed


@dataclass(frozen=True)
class Seen:
    """An operation as it was seen: what must be the same in a network of other widths, and its results' cells."""

    name: str
    scalars: tuple[Any, ...]
    results: tuple[Shape, ...] | None  # None for an operation that was seen as those that it is composed of
    operands: tuple[Origin, ...] = ()
    places: tuple[int, ...] | None = None  # numbers that say where it finds what, None where those follow the widths


@dataclass(frozen=True)
class Number:
    """An operation that computes with numbers, which may follow the input's size."""

    place: int  # among the operations seen
    steps: Sequence[int]  # what it made, or what is made of it
    lone: tuple[int, ...]  # which of the tensors that it meets are numbers of the code's own
    keeps_zeros: bool  # whether it makes zeros of zeros, whatever the numbers


@dataclass(frozen=True)
class Cut:
    """The parts into which code cuts the channels of an axis, by their labels; none of them may end up empty."""

    parts: list[Ids]
    alike: list[Ids]  # those of them that must keep the same width


@dataclass(frozen=True)
class Size:
    """A number of channels that a module keeps in an attribute, at some place if that is a list or tuple."""

    owner: str
    key: str
    place: int | None
    labels: Ids


@dataclass
class Trace:
    """The result of following a network's channels; labels are resolved, so equal labels mean one channel."""

    size: int  # all labels are below it
    label: Ids  # by cell
    value: Values  # by cell: what it held at one position; what it always holds if it is constant
    steps: list[Step]
    layers: dict[str, Layer]
    parameters: dict[tuple[str, str], Ids]  # by module and name: labels of a parameter that holds one value a channel
    outputs: set[int]  # channels of the network's output
    seen: list[Seen]
    elsewhere: set[tuple[str, str]]  # parameters and statistics that other layers, or no layers, use too
    returned: tuple[Origin, ...]  # where the tensors that the forward pass returns come from
    picks: bool  # whether the code takes some channels of a tensor alone, by their place
    unfollowed: dict[str, int]  # by name of a layer that has no rule: how many hidden channels it makes
    cuts: list[Cut]  # that the code makes by numbers that follow the widths, or are made to
    sizes: list[Size]  # those numbers
    numbers: list[Number]  # with which operations treat each channel alone
    idle: dict[str, Layer] = field(default_factory=dict)  # layers that only training passes, and what they read
    pinned: dict[int, str] = field(default_factory=dict)  # channels that cannot be removed, and why

    @property
    def dense(self) -> dict[str, Layer]:
        """The layers that mix channels."""
        return {name: layer for name, layer in self.layers.items() if layer.reads is not None}

    @property
    def reads(self) -> dict[str, Ids]:
        """By dense layer the labels of its input channels."""
        return {name: layer.reads for name, layer in self.layers.items() if layer.reads is not None}

    @cached_property
    def multiples(self) -> Ids:
        """By label how many channels of one layer it stands for: several, where only all of them can go."""
        multiples = np.zeros(self.size, dtype=np.int64)
        for layer in self.dense.values():
            np.maximum(multiples, np.bincount(layer.writes, minlength=self.size), out=multiples)
        return multiples

    def count(self, labels: Ids) -> int:
        """How many channels some labels stand for."""
        return int(self.multiples[labels].sum())

    @cached_property
    def makers(self) -> Ids:
        """By cell the index of the step that made it."""
        makers = np.empty(len(self.label), dtype=np.int64)
        for index, step in enumerate(self.steps):
            makers[step.cells] = index
        return makers

    @cached_property
    def users(self) -> list[list[int]]:
        """By step the indices of those that use its cells."""
        users: list[list[int]] = [[] for _ in self.steps]
        for index, step in enumerate(self.steps):
            for made in {int(i) for source in step.sources for i in np.unique(self.makers[source])}:
                users[made].append(index)
        return users

    def add_label(self, reason: str) -> int:
        """A label for channels that are not followed, and stay."""
        self.size += 1
        self.pinned[self.size - 1] = reason
        return self.size - 1

    def pin(self, labels: Ids, reason: str) -> None:
        """Marks channels as not removable."""
        for label in labels.tolist():
            self.pinned.setdefault(label, reason)


def reasons_to_keep(followed: Trace, groups: dict[str, Ids]) -> dict[str, str]:
    """By name the groups that cannot be removed from, and why."""
    pinned = followed.pinned
    reasons = {name: next((pinned[i] for i in ids.tolist() if i in pinned), "") for name, ids in groups.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def hidden_groups(followed: Trace) -> dict[str, Ids]:
    """The labels of every hidden group's channels, by the name of its first writer."""
    groups: dict[str, Ids] = {}
    owner = np.full(followed.size, -1)
    names: list[str] = []
    for name, layer in followed.dense.items():
        ids = layer.writes
        if followed.outputs.issuperset(ids.tolist()):
            continue
        overlapping = [names[i] for i in np.unique(owner[ids]) if i >= 0]
        joined = np.concatenate([*(groups[other] for other in overlapping), ids])
        first, *others = overlapping or [name]
        if not overlapping:
            names.append(name)
        for other in others:
            del groups[other]
        groups[first] = joined[np.sort(np.unique(joined, return_index=True)[1])]
        owner[joined] = names.index(first)
    return groups

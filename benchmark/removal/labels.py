"""What following a network's channels yields: a label per channel of every tensor, and which labels are one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, fx


class UntraceableError(ValueError):
    """The network's forward pass cannot be followed, or nothing in it can be removed."""


@dataclass(frozen=True)
class Labels:
    """The channel labels of one tensor, along one of its axes."""

    axis: int
    ids: np.ndarray


@dataclass(frozen=True)
class Step:
    """One operation as far as channels are concerned.

    `kind` says how an output channel depends on input channels: `start` (on no channel known here), `dense` (layer
    `module` mixes them), `channelwise` (layer `module` treats each alone), `merge` (on the same channel of every
    source), `concat` (sources end to end), `repeat` (each channel `times` over). Where zeros are counted beyond a
    border, a constant other than zero varies with the position, and what is made of it with the input's size.
    """

    node: str
    kind: str
    sources: tuple[str, ...] = ()
    module: str = ""
    times: int = 1
    border: np.ndarray | None = None  # by input channel, where zeros mix in at a border: whether it is not zero itself


@dataclass
class Trace:
    """The result of following a network's channels; labels are resolved, so equal labels mean one channel."""

    graph: fx.Graph
    size: int = 0  # all labels are below it
    steps: list[Step] = field(default_factory=list)
    labels: dict[str, Labels] = field(default_factory=dict)  # by node
    reads: dict[str, np.ndarray] = field(default_factory=dict)  # by dense layer: labels of its input channels
    writes: dict[str, np.ndarray] = field(default_factory=dict)  # by dense or channelwise layer: of its output channels
    received: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)  # by dense layer: least, largest per input
    pinned: dict[int, str] = field(default_factory=dict)  # channels that cannot be removed, and why
    outputs: set[int] = field(default_factory=set)  # channels of the network's output

    @property
    def concatenations(self) -> dict[str, tuple[str, ...]]:
        """By node the nodes whose channels it puts end to end."""
        return {step.node: step.sources for step in self.steps if step.kind == "concat"}


class Book:
    """Hands out labels, and remembers which of them turned out to be one and which cannot be removed."""

    def __init__(self):
        self.parents: list[int] = []
        self.pins: list[tuple[np.ndarray, str]] = []

    def fresh(self, count: int) -> np.ndarray:
        start = len(self.parents)
        self.parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def pin(self, ids: np.ndarray, reason: str) -> None:
        self.pins.append((ids, reason))

    def unite(self, first: np.ndarray, second: np.ndarray) -> None:
        if np.array_equal(first, second):
            return
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted((self._find(a), self._find(b)))
            self.parents[high] = low

    def resolve(self, trace: Trace) -> Trace:
        """The trace with one label per channel, and its pinned labels."""
        roots = np.array([self._find(i) for i in range(len(self.parents))], dtype=np.int64)
        trace.size = len(roots)
        trace.labels = {node: Labels(labels.axis, roots[labels.ids]) for node, labels in trace.labels.items()}
        trace.reads = {name: roots[ids] for name, ids in trace.reads.items()}
        trace.writes = {name: roots[ids] for name, ids in trace.writes.items()}
        trace.outputs = set(roots[list(trace.outputs)].tolist())
        for ids, reason in self.pins:
            for root in roots[ids].tolist():
                trace.pinned.setdefault(root, reason)
        return trace

    def _find(self, label: int) -> int:
        while self.parents[label] != label:
            self.parents[label] = label = self.parents[self.parents[label]]
        return label

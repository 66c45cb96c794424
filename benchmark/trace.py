"""Follows channels through a network: which layers write, scale and read each of them.

Every tensor of a forward pass carries one label per channel. A dense layer reads the labels of its input and writes new
ones; element-wise operations, norms and poolings pass labels on; an addition makes the labels of its operands one. An
operation with no rule here pins the channels it touches, so that nothing is ever removed by guess.
"""

from __future__ import annotations

import math

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ELEMENTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Mish,
    nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
)  # fmt: skip
POOLINGS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip
ELEMENTWISE = {
    "relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "softplus", "mish",
    "hardswish", "hardsigmoid", "hardtanh", "dropout", "dropout2d", "stochastic_depth", "contiguous", "clone", "detach",
    "float", "double",
}  # fmt: skip
POOLING = {
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
}  # fmt: skip
MERGING = {"add", "iadd", "add_", "sub", "isub", "mul", "imul", "mul_"}
RESHAPING = {"flatten", "view", "reshape"}
SHAPES = {"size", "dim", "getattr", "getitem", "floordiv"}


class UntraceableError(ValueError):
    """The network's forward pass cannot be followed."""


@dataclass(frozen=True)
class Labels:
    """The channel labels of one tensor, along one of its axes."""

    axis: int
    ids: np.ndarray


@dataclass(frozen=True)
class Step:
    """One operation as far as channels are concerned.

    `kind` says how an output channel depends on input channels: `start` (on no channel known here), `dense` (layer
    `module` mixes all of them), `channelwise` (layer `module` treats each alone), `merge` (on the same channel of every
    source), `concat` (sources end to end), `repeat` (each channel `times` over).
    """

    node: str
    kind: str
    sources: tuple[str, ...] = ()
    module: str = ""
    times: int = 1


@dataclass
class Trace:
    """The result of following a network's channels; labels are resolved, so equal labels mean one channel."""

    graph: fx.GraphModule
    steps: list[Step] = field(default_factory=list)
    labels: dict[str, Labels] = field(default_factory=dict)  # by node
    reads: dict[str, np.ndarray] = field(default_factory=dict)  # by dense layer: labels of its input channels
    writes: dict[str, np.ndarray] = field(default_factory=dict)  # by dense or channelwise layer: of its output channels
    pinned: dict[int, str] = field(default_factory=dict)  # channels that cannot be removed, and why
    outputs: set[int] = field(default_factory=set)  # channels of the network's input and output


def trace(module: nn.Module, example: Tensor) -> Trace:
    """Follows the channels of `module` on a batch `example` (N × …); changes no parameter, statistic or mode.

    Raises UntraceableError where the forward pass depends on the data or does not accept the example.
    """
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        graph = fx.GraphModule(module, fx.Tracer().trace(module))
        follower = _Follower(graph)
        with torch.no_grad():
            follower.run(example)
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise UntraceableError(
            f"{type(module).__name__} cannot be traced on a batch of shape {tuple(example.shape)}: "
            f"{reason[0] if reason else type(error).__name__}"
        ) from error
    finally:
        for m, mode in modes.items():
            m.training = mode
    return follower.result()


class _Follower(fx.Interpreter):
    """Runs the graph once and applies one labelling rule per operation."""

    def __init__(self, graph: fx.GraphModule):
        super().__init__(graph)
        self.trace = Trace(graph)
        self.parents: list[int] = []
        self.pins: list[tuple[np.ndarray, str]] = []
        self.ends: list[np.ndarray] = []

    def result(self) -> Trace:
        roots = np.array([self.find(i) for i in range(len(self.parents))], dtype=np.int64)
        trace = self.trace
        trace.labels = {node: Labels(labels.axis, roots[labels.ids]) for node, labels in trace.labels.items()}
        trace.reads = {name: roots[ids] for name, ids in trace.reads.items()}
        trace.writes = {name: roots[ids] for name, ids in trace.writes.items()}
        trace.outputs = {int(root) for ids in self.ends for root in roots[ids]}
        for ids, reason in self.pins:
            for root in roots[ids]:
                trace.pinned.setdefault(int(root), reason)
        return trace

    def find(self, label: int) -> int:
        while self.parents[label] != label:
            self.parents[label] = label = self.parents[self.parents[label]]
        return label

    def fresh(self, count: int) -> np.ndarray:
        start = len(self.parents)
        self.parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def unite(self, first: np.ndarray, second: np.ndarray) -> None:
        for a, b in zip(first, second, strict=True):
            low, high = sorted((self.find(a), self.find(b)))
            self.parents[high] = low

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        sources = [n for n in node.all_input_nodes if n.name in self.trace.labels]
        if node.op == "placeholder":
            self.start(node, value, "the network's input")
            self.ends.append(self.trace.labels[node.name].ids)
        elif node.op == "output":
            for source in sources:
                self.ends.append(self.trace.labels[source.name].ids)
                self.pin([source], "the network's output")
        elif node.op == "call_module":
            self.follow_module(node, sources, self.fetch_attr(node.target), value)
        elif node.op in ("call_function", "call_method") and sources:
            self.follow_function(node, sources, value)
        return value

    def follow_module(self, node: fx.Node, sources: list[fx.Node], module: nn.Module, value: Any) -> None:
        axis = self.trace.labels[sources[0].name].axis if sources else None
        channels_first = axis == 1
        if isinstance(module, nn.Linear) and axis is not None and axis == value.dim() - 1:
            self.dense(node, sources[0], value.dim() - 1, module.out_features)
        elif isinstance(module, CONVOLUTIONS) and channels_first and module.groups == 1:
            self.dense(node, sources[0], 1, module.out_channels)
        elif isinstance(module, CONVOLUTIONS) and channels_first and module.groups == module.out_channels:
            self.channelwise(node, sources[0])
        elif isinstance(module, NORMS) and channels_first and module.track_running_stats:
            self.channelwise(node, sources[0])
        elif isinstance(module, ELEMENTWISE_MODULES) and sources:
            self.same(node, sources)
        elif isinstance(module, POOLINGS) and channels_first and isinstance(value, Tensor):
            self.same(node, sources)
        elif isinstance(module, nn.Flatten) and sources:
            self.reshape(node, sources[0], value)
        else:
            self.opaque(node, sources, value, f"{node.target} ({type(module).__name__})")

    def follow_function(self, node: fx.Node, sources: list[fx.Node], value: Any) -> None:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        labels = self.trace.labels[sources[0].name]
        if not isinstance(value, Tensor):
            if name not in SHAPES:
                self.opaque(node, sources, value, name)
        elif name in MERGING and self.mergeable(node, sources, value):
            self.same(node, sources)
        elif name in ELEMENTWISE or (name in POOLING and labels.axis == 1):
            self.same(node, sources[:1])
        elif name in RESHAPING:
            self.reshape(node, sources[0], value)
        elif name in ("cat", "concat") and len(node.args[0]) == len(sources):
            self.concatenate(node, sources, value)
        elif name == "mean":
            self.mean(node, sources[0], value)
        elif name in ("permute", "transpose"):
            self.permute(node, sources[0], value, name)
        else:
            self.opaque(node, sources, value, name)

    def start(self, node: fx.Node, value: Any, reason: str) -> None:
        """Labels for a tensor whose channels come from nowhere that can be followed."""
        if isinstance(value, Tensor) and value.dim() >= 2:
            ids = self.fresh(value.shape[1])
            self.pins.append((ids, reason))
            self.put(node, "start", (), Labels(1, ids))

    def opaque(self, node: fx.Node, sources: list[fx.Node], value: Any, operation: str) -> None:
        reason = f"{operation} has no rule for exact removal"
        self.pin(sources, reason)
        self.start(node, value, reason)

    def pin(self, sources: list[fx.Node], reason: str) -> None:
        self.pins.extend((self.trace.labels[source.name].ids, reason) for source in sources)

    def put(self, node: fx.Node, kind: str, sources: tuple, labels: Labels, module: str = "", times: int = 1) -> None:
        self.trace.labels[node.name] = labels
        self.trace.steps.append(Step(node.name, kind, tuple(s.name for s in sources), module, times))

    def dense(self, node: fx.Node, source: fx.Node, axis: int, channels: int) -> None:
        ids = self.trace.labels[source.name].ids
        reads, writes = self.trace.reads, self.trace.writes
        if node.target in reads:  # a shared layer: its channels are the same at every call
            self.unite(reads[node.target], ids)
        reads.setdefault(node.target, ids)
        written = writes.setdefault(node.target, self.fresh(channels))
        self.put(node, "dense", (source,), Labels(axis, written), node.target)

    def channelwise(self, node: fx.Node, source: fx.Node) -> None:
        labels = self.trace.labels[source.name]
        if node.target in self.trace.writes:
            self.unite(self.trace.writes[node.target], labels.ids)
        self.trace.writes.setdefault(node.target, labels.ids)
        self.put(node, "channelwise", (source,), labels, node.target)

    def same(self, node: fx.Node, sources: list[fx.Node]) -> None:
        first = self.trace.labels[sources[0].name]
        for source in sources[1:]:
            self.unite(first.ids, self.trace.labels[source.name].ids)
        self.put(node, "merge", tuple(sources), first)

    def mergeable(self, node: fx.Node, sources: list[fx.Node], value: Tensor) -> bool:
        """Whether an arithmetic operation meets only channels of the same place, and numbers."""
        labels = [self.trace.labels[source.name] for source in sources]
        operands = [self.env.get(n) for n in node.all_input_nodes if n not in sources]
        numbers = all(not isinstance(x, Tensor) or x.numel() == 1 for x in operands)
        places = {(x.axis, len(x.ids)) for x in labels}
        dims = {self.env[source].dim() for source in sources}
        return (
            numbers and len(places) == 1 and dims == {value.dim()} and value.shape[labels[0].axis] == len(labels[0].ids)
        )

    def concatenate(self, node: fx.Node, sources: list[fx.Node], value: Tensor) -> None:
        labels = [self.trace.labels[source.name] for source in sources]
        dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        dim %= self.env[sources[0]].dim()
        if all(x.axis == dim for x in labels):
            ids = np.concatenate([x.ids for x in labels])
            self.put(node, "concat", tuple(sources), Labels(dim, ids))
        elif len({x.axis for x in labels}) == 1 and dim != 0:
            self.same(node, sources)
        else:
            self.opaque(node, sources, value, "cat along this axis")

    def reshape(self, node: fx.Node, source: fx.Node, value: Tensor) -> None:
        labels, shape = self.trace.labels[source.name], self.env[source].shape
        spatial = math.prod(shape[2:])
        if labels.axis == 1 and tuple(value.shape) == (shape[0], shape[1] * spatial):
            self.put(node, "repeat", (source,), Labels(1, np.repeat(labels.ids, spatial)), times=spatial)
        elif value.shape == shape or (labels.axis == 1 and tuple(value.shape) == (shape[0], shape[1], spatial)):
            self.put(node, "merge", (source,), labels)
        else:
            self.opaque(node, [source], value, f"{node.target} to {tuple(value.shape)}")

    def mean(self, node: fx.Node, source: fx.Node, value: Tensor) -> None:
        labels, rank = self.trace.labels[source.name], self.env[source].dim()
        dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else list(range(rank)))
        dims = {d % rank for d in (dims if isinstance(dims, list | tuple) else [dims])}
        if 0 not in dims and labels.axis not in dims:
            lost = 0 if value.dim() == rank else sum(d < labels.axis for d in dims)
            self.put(node, "merge", (source,), Labels(labels.axis - lost, labels.ids))
        else:
            self.opaque(node, [source], value, f"mean over axes {sorted(dims)}")

    def permute(self, node: fx.Node, source: fx.Node, value: Tensor, name: str) -> None:
        labels, rank = self.trace.labels[source.name], self.env[source].dim()
        order = list(range(rank))
        if name == "transpose":
            a, b = (d % rank for d in node.args[1:3])
            order[a], order[b] = order[b], order[a]
        else:
            dims = node.args[1] if isinstance(node.args[1], list | tuple) else node.args[1:]
            order = [d % rank for d in dims]
        if order[0] == 0:
            self.put(node, "merge", (source,), Labels(order.index(labels.axis), labels.ids))
        else:
            self.opaque(node, [source], value, "permute of the batch axis")

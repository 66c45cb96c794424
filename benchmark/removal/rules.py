"""The labelling rules: what each kind of operation does to the channels of the tensors it meets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from benchmark.removal.labels import Book, Labels, Step, Trace
from benchmark.removal.operations import fixed_size, function_name, mixes_zeros_in, pooled_axes


class Rules(fx.Interpreter):
    """Runs a graph; each rule enters the labels of one node's value, and how they came about, into the trace."""

    def __init__(self, module: nn.Module, graph: fx.Graph):
        super().__init__(module, graph=graph)
        self.trace = Trace(graph)
        self.book = Book()

    def start(self, node: fx.Node, value: Any, reason: str) -> None:
        """Labels for a tensor whose channels come from nowhere that can be followed."""
        if isinstance(value, Tensor) and value.dim() >= 2:
            ids = self.book.fresh(value.shape[1])
            self.book.pin(ids, reason)
            self.put(node, "start", (), Labels(1, ids))

    def opaque(self, node: fx.Node, sources: list[fx.Node], value: Any, operation: str) -> None:
        reason = f"{operation} has no rule for exact removal"
        self.pin(sources, reason)
        if len(sources) == 1 and isinstance(value, Tensor) and value.shape == self.env[sources[0]].shape:
            self.put(node, "start", (), self.trace.labels[sources[0].name])
        else:
            self.start(node, value, reason)

    def pin(self, sources: list[fx.Node], reason: str) -> None:
        for source in sources:
            self.book.pin(self.trace.labels[source.name].ids, reason)

    def put(
        self, node: fx.Node, kind: str, sources: tuple, labels: Labels, module: str = "", times: int = 1,
        border: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.trace.labels[node.name] = labels
        self.trace.steps.append(Step(node.name, kind, tuple(s.name for s in sources), module, times, border))

    def border(self, source: fx.Node, axis: int, mixed: bool) -> np.ndarray | None:
        """By channel whether a node's value is not zero, where an operation on it mixes zeros in at a border."""
        if not mixed:
            return None
        return (self.env[source].movedim(axis, 0).flatten(1) != 0).any(1).cpu().numpy()

    def dense(self, node: fx.Node, axis: int, inputs: int, outputs: int) -> None:
        (source,) = node.all_input_nodes
        labels, origin = self.trace.labels.get(source.name), source.name
        if labels is None or labels.axis != axis:
            reason = f"{node.target} reads them along another axis"
            self.pin([source] if labels else [], reason)
            labels, origin = Labels(axis, self.book.fresh(inputs)), f"{node.name}.input"
            self.book.pin(labels.ids, reason)
            self.trace.labels[origin] = labels
            self.trace.steps.append(Step(origin, "start"))
        reads, writes = self.trace.reads, self.trace.writes
        if node.target in reads:  # a shared layer: its channels are the same at every call
            self.book.unite(reads[node.target], labels.ids)
        reads.setdefault(node.target, labels.ids)
        if node.target not in writes:
            writes[node.target] = self.book.fresh(outputs)
        self.receive(node.target, self.env[source].movedim(axis, 0).flatten(1))
        self.trace.labels[node.name] = Labels(axis, writes[node.target])
        border = self.border(source, axis, mixes_zeros_in(self.fetch_attr(node.target)))
        self.trace.steps.append(Step(node.name, "dense", (origin,), node.target, border=border))

    def receive(self, name: str, values: Tensor) -> None:
        """Widens the range of what a layer receives on each input channel; `values` is channels × everything else."""
        low, high = values.aminmax(dim=1)
        if name in self.trace.received:
            least, largest = self.trace.received[name]
            low, high = torch.minimum(low, least), torch.maximum(high, largest)
        self.trace.received[name] = low, high

    def channelwise(self, node: fx.Node, source: fx.Node) -> None:
        labels = self.trace.labels[source.name]
        self.book.unite(self.trace.writes.setdefault(node.target, labels.ids), labels.ids)
        border = self.border(source, labels.axis, mixes_zeros_in(self.fetch_attr(node.target)))
        self.put(node, "channelwise", (source,), labels, node.target, border=border)

    def same(self, node: fx.Node, sources: list[fx.Node], mixes_zeros: bool = False) -> None:
        first = self.trace.labels[sources[0].name]
        border = self.border(sources[0], first.axis, mixes_zeros)
        for source in sources[1:]:
            self.book.unite(first.ids, self.trace.labels[source.name].ids)
        self.put(node, "merge", tuple(sources), first, border=border)

    def pools(self, operation: str, value: Any) -> bool:
        """Whether a pooling gives one tensor and leaves the batch and the channels alone."""
        return isinstance(value, Tensor) and value.dim() == pooled_axes(operation) + 2

    def mergeable(self, node: fx.Node, sources: list[fx.Node], value: Tensor) -> bool:
        """Whether an arithmetic operation meets only channels of the same place, and scalars of the network's own."""
        labels = [self.trace.labels[source.name] for source in sources]
        operands = [self.env[n] for n in node.all_input_nodes if n not in sources]
        scalars = all(isinstance(x, Tensor) and x.numel() == 1 for x in operands)
        places = {(x.axis, len(x.ids)) for x in labels}
        ranks = {self.env[source].dim() for source in sources}
        axis, channels = labels[0].axis, len(labels[0].ids)
        return scalars and len(places) == 1 and ranks == {value.dim()} and value.shape[axis] == channels

    def concatenate(self, node: fx.Node, sources: list[fx.Node], value: Tensor) -> None:
        parts = node.args[0] if node.args else node.kwargs["tensors"]
        dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0) % value.dim()
        labels = [self.trace.labels[part.name] for part in parts if part.name in self.trace.labels]
        axes = {x.axis for x in labels}
        if len(labels) == len(parts) and axes == {dim}:
            self.put(node, "concat", tuple(parts), Labels(dim, np.concatenate([x.ids for x in labels])))
        elif len(labels) == len(parts) and len(axes) == 1 and dim != 0:
            self.same(node, list(parts))
        else:
            self.opaque(node, sources, value, "cat along this axis")

    def reshape(self, node: fx.Node, source: fx.Node, value: Tensor) -> None:
        labels, shape = self.trace.labels[source.name], self.env[source].shape
        spatial = math.prod(shape[2:])
        operation = function_name(node) if node.op != "call_module" else node.target
        if labels.axis == 1 and node.op != "call_module" and fixed_size(node, 1):
            self.opaque(node, [source], value, f"{operation} to a fixed size")
        elif labels.axis == 1 and tuple(value.shape) == (shape[0], shape[1] * spatial):
            self.put(node, "repeat", (source,), Labels(1, np.repeat(labels.ids, spatial)), times=spatial)
        elif labels.axis == 1 and tuple(value.shape) == (shape[0], shape[1], spatial):
            self.put(node, "merge", (source,), labels)
        else:
            self.opaque(node, [source], value, f"{operation} to {tuple(value.shape)}")

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
            a, b = (d % rank for d in (*node.args[1:], *node.kwargs.values()))
            order[a], order[b] = order[b], order[a]
        else:
            dims = node.args[1:] or tuple(node.kwargs.values())
            order = [d % rank for d in (dims[0] if isinstance(dims[0], list | tuple) else dims)]
        if order[0] == 0:
            self.put(node, "merge", (source,), Labels(order.index(labels.axis), labels.ids))
        else:
            self.opaque(node, [source], value, "permute of the batch axis")

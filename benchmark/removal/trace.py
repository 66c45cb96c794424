"""Follows channels through a network: which layers write, scale and read each of them.

Every tensor of a forward pass carries one label per channel. A dense layer reads the labels of its input and writes new
ones; element-wise operations, norms and poolings pass labels on; an addition makes the labels of its operands one. An
operation with no rule here pins the channels it touches, so that nothing is ever removed by guess.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, fx, nn

from benchmark.errors import first_line
from benchmark.removal.labels import Trace, UntraceableError
from benchmark.removal.operations import (
    CONVOLUTIONS,
    ELEMENTWISE,
    ELEMENTWISE_MODULES,
    MERGING,
    NORMS,
    POOLING,
    POOLINGS,
    RESHAPING,
    SHAPES,
    SIZES,
    function_name,
    is_altered,
    is_depthwise,
    mixes_zeros_in,
)
from benchmark.removal.rules import Rules


def trace(module: nn.Module, example: Tensor) -> Trace:
    """Follows the channels of `module` on a batch `example` (N × …); changes no parameter, statistic, mode or seed.

    Raises UntraceableError where the forward pass depends on the data or does not accept the example.
    """
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        follower = _Follower(module, _Tracer().trace(module))
        with torch.no_grad(), unchanged_seed(example):
            followed = follower.run(example)
        with torch.no_grad(), unchanged_seed(example):
            same = torch.allclose(followed, module(example), rtol=1e-9, atol=0, equal_nan=True)
        if not same:
            raise UntraceableError("what was followed gives other outputs than the forward pass itself")
    except Exception as error:
        raise UntraceableError(
            f"{type(module).__name__} cannot be traced on samples of shape {tuple(example.shape[1:])}: "
            f"{first_line(error)}"
        ) from error
    finally:
        for m, mode in modes.items():
            m.training = mode
    return follower.result()


def unchanged_seed(batch: Tensor) -> AbstractContextManager:
    """A context that gives the global random state back as it was."""
    return torch.random.fork_rng(devices=[batch.device] if batch.is_cuda else [])


class _Writable(fx.Proxy):
    """What a forward pass computes with while it is traced; fx alone takes `a += b` for `a = a + b`."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self._write(operator.iadd, other)

    def __isub__(self, other: Any) -> fx.Proxy:
        return self._write(operator.isub, other)

    def __imul__(self, other: Any) -> fx.Proxy:
        return self._write(operator.imul, other)

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self._write(operator.itruediv, other)

    def _write(self, operation: Callable[..., Any], other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Writable(node, self)


class _Follower(Rules):
    """Runs the graph once and picks one labelling rule per operation."""

    def __init__(self, module: nn.Module, graph: fx.Graph):
        super().__init__(module, graph)
        self.borrowed: set[str] = set()  # parameters that the forward pass uses outside their layer
        self.derived: set[fx.Node] = set()  # nodes whose values the input's values decide
        self.versions: dict[fx.Node, int] = {}  # of the tensors that are still to be read, as they were last seen
        self.order = {node: place for place, node in enumerate(graph.nodes)}

    def result(self) -> Trace:
        owners: dict[int, str] = {}
        for name in self.trace.writes:
            layer = self.module.get_submodule(name)
            for key, parameter in layer.named_parameters(recurse=False):
                twin = owners.setdefault(id(parameter), name)
                if f"{name}.{key}" in self.borrowed:
                    self.pin_layer(name, f"the {key} of {name} is used outside its layer")
                elif twin != name:
                    self.pin_layer(name, f"{name} shares its {key} with {twin}")
                    self.pin_layer(twin, f"{name} shares its {key} with {twin}")
        return self.book.resolve(self.trace)

    def pin_layer(self, name: str, reason: str) -> None:
        self.book.pin(self.trace.writes[name], reason)
        if name in self.trace.reads:
            self.book.pin(self.trace.reads[name], reason)

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        sources = [n for n in node.all_input_nodes if n.name in self.trace.labels]
        if node.op == "placeholder" or self.looks_at_values(node, value):
            self.derived.add(node)
        if node.op == "placeholder":
            self.start(node, value, "the network's input")
        elif node.op == "get_attr":
            self.borrowed.add(node.target)
        elif node.op == "output":
            if not isinstance(value, Tensor):
                raise UntraceableError(f"its forward pass returns a {type(value).__name__}, not one tensor")
            self.trace.outputs.update(i for s in sources for i in self.trace.labels[s.name].ids.tolist())
            self.pin(sources, "the network's output")
        elif node.op == "call_module":
            self.follow_module(node, sources, self.fetch_attr(node.target), value)
        elif sources:
            self.follow_function(node, sources, value)
        self.watch_writes(node, value)
        return value

    def looks_at_values(self, node: fx.Node, value: Any) -> bool:
        sizes = node.op in ("call_function", "call_method") and function_name(node) in SIZES
        return not (sizes and not isinstance(value, Tensor)) and not self.derived.isdisjoint(node.all_input_nodes)

    def watch_writes(self, node: fx.Node, value: Any) -> None:
        """Pins what an operation wrote to in place and later ones read, under whatever name."""
        for other, version in list(self.versions.items()):
            if max((self.order[user] for user in other.users), default=-1) <= self.order[node]:
                del self.versions[other]
            elif self.env[other]._version != version:
                self.versions[other] = self.env[other]._version
                written = [n for n in (*node.all_input_nodes, node, other) if n.name in self.trace.labels]
                self.pin(written, f"{node.name} writes to what is read later")
        if isinstance(value, Tensor) and node.op != "output":
            self.versions[node] = value._version

    def follow_module(self, node: fx.Node, sources: list[fx.Node], module: nn.Module, value: Any) -> None:
        channels_first = bool(sources) and self.trace.labels[sources[0].name].axis == 1
        plain = "weight" in module._parameters  # not computed by a parametrization, weight norm or pruning mask
        if is_altered(module):
            self.opaque(node, sources, value, f"{node.target} (with a hook or a forward of its own)")
        elif not self.derived.isdisjoint(set(node.all_input_nodes) - set(sources)):
            self.opaque(node, sources, value, f"{node.target} with a value computed from the input")
        elif isinstance(module, nn.Linear) and plain:
            self.dense(node, value.dim() - 1, module.in_features, module.out_features)
        elif isinstance(module, CONVOLUTIONS) and plain and value.dim() == module.weight.dim():
            if is_depthwise(module) and channels_first:
                self.channelwise(node, sources[0])
            else:
                self.dense(node, 1, module.in_channels, module.out_channels)
        elif isinstance(module, NORMS) and plain and channels_first and module.track_running_stats:
            self.channelwise(node, sources[0])
        elif (isinstance(module, ELEMENTWISE_MODULES) and sources) or (
            isinstance(module, POOLINGS) and channels_first and self.pools(type(module).__name__, value)
        ):
            self.same(node, sources, mixes_zeros_in(module))
        elif isinstance(module, nn.Flatten) and sources:
            self.reshape(node, sources[0], value)
        else:
            self.opaque(node, sources, value, f"{node.target} ({type(module).__name__})")

    def follow_function(self, node: fx.Node, sources: list[fx.Node], value: Any) -> None:
        name = function_name(node)
        labels = self.trace.labels[sources[0].name]
        if not isinstance(value, Tensor):
            if name not in SHAPES:
                self.opaque(node, sources, value, name)
        elif not self.derived.isdisjoint(set(node.all_input_nodes) - set(sources)):
            self.opaque(node, sources, value, f"{name} with a value computed from the input")
        elif name in MERGING and self.mergeable(node, sources, value):
            self.same(node, sources)
        elif (name in ELEMENTWISE and len(node.all_input_nodes) == 1) or (
            name in POOLING and labels.axis == 1 and self.pools(name, value)
        ):
            self.same(node, sources[:1], name.startswith("avg_pool") and (len(node.args) > 3 or len(node.kwargs) > 2))
        elif name in RESHAPING:
            self.reshape(node, sources[0], value)
        elif name in ("cat", "concat"):
            self.concatenate(node, sources, value)
        elif name == "mean":
            self.mean(node, sources[0], value)
        elif name in ("permute", "transpose"):
            self.permute(node, sources[0], value, name)
        else:
            self.opaque(node, sources, value, name)

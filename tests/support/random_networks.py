"""Random networks whose channels are known by construction, with random channels silenced."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmark.networks.blocks import ACTIVATIONS
from tests.support.random_weights import fill

CLASSES = 3


@dataclass
class Value:
    """A tensor of the network under construction: its name, the channel of each entry of axis 1, and its side."""

    name: str
    ids: list[int]
    side: int = 0  # 0: no spatial axes


class Network(nn.Module):
    """Runs a list of operations: (result, layer name or operation, sources)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict()
        self.program: list[tuple[str, str, list[str]]] = []

    def forward(self, x: Tensor) -> Tensor:
        values = {"x": x}
        for result, operation, sources in self.program:
            inputs = [values[s] for s in sources]
            if operation == "add":
                value = inputs[0] + inputs[1]
            elif operation == "cat":
                value = torch.cat(inputs, 1)
            elif operation == "flatten":
                value = inputs[0].flatten(1)
            elif operation == "mean":
                value = inputs[0].mean((2, 3))
            else:
                value = self.layers[operation](inputs[0])
            values[result] = value
        return value


@dataclass
class Built:
    """A network, what its layers read and write, and a batch that moves every channel that can move."""

    network: Network
    shape: tuple[int, ...]
    reads: dict[str, list[int]] = field(default_factory=dict)  # by dense layer: channel of each input
    writes: dict[str, list[int]] = field(default_factory=dict)  # by dense layer: channel of each output
    scales: dict[str, list[int]] = field(default_factory=dict)  # by norm or depthwise layer
    joined: dict[int, int] = field(default_factory=dict)
    outputs: set[int] = field(default_factory=set)
    batch: Tensor | None = None

    def find(self, channel: int) -> int:
        while self.joined.setdefault(channel, channel) != channel:
            channel = self.joined[channel]
        return channel

    def settle(self) -> None:
        """One number per channel, now that all additions are known."""
        for table in (self.reads, self.writes, self.scales):
            for name in table:
                table[name] = [self.find(i) for i in table[name]]
        self.outputs = {self.find(i) for i in self.outputs}

    @property
    def has_grouped_readers(self) -> bool:
        return any(getattr(self.network.layers[name], "groups", 1) > 1 for name in self.reads)

    @property
    def hidden(self) -> list[int]:
        inputs = {self.find(i) for i in range(self.shape[0])}
        return sorted({i for ids in self.writes.values() for i in ids} - self.outputs - inputs)


class Builder:
    """Grows a network operation by operation, drawing every choice."""

    def __init__(self, draw, shape: tuple[int, ...]):
        self.draw, self.built, self.count, self.channels = draw, Built(Network(), shape), 0, shape[0]

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    def fresh(self, count: int) -> list[int]:
        self.channels += count
        return list(range(self.channels - count, self.channels))

    def apply(self, operation: str, sources: list[Value], ids: list[int], side: int) -> Value:
        self.count += 1
        name = f"v{self.count}"
        self.built.network.program.append((name, operation, [s.name for s in sources]))
        return Value(name, ids, side)

    def add_layer(self, layer: nn.Module) -> str:
        name = f"{type(layer).__name__.lower()}{len(self.built.network.layers)}"
        self.built.network.layers[name] = layer
        return name

    def dense(self, x: Value, layer: nn.Module, side: int = 0) -> Value:
        name = self.add_layer(layer)
        self.built.reads[name] = x.ids
        self.built.writes[name] = self.fresh(layer.weight.shape[0])
        return self.apply(name, [x], self.built.writes[name], side)

    def conv(self, x: Value, width: int, same: bool = False) -> Value:
        kernel = self.pick(1, 2, 3)
        stride, dilation, padding = self.pick(1, 1, 2), self.pick(1, 1, 2), self.pick(0, 1, 2)
        if same:
            kernel = self.pick(1, 3)
            stride, padding = 1, dilation * (kernel - 1) // 2
        mode = self.pick("zeros", "zeros", "circular", "reflect", "replicate")
        if padding >= x.side:
            mode = "zeros"
        reach = dilation * (kernel - 1) + 1
        if x.side + 2 * padding < reach or not meets_image(x.side, kernel, stride, padding, dilation):
            kernel, reach, padding = 1, 1, 0
        groups = self.pick(1, 1, 1, 2)
        if len(x.ids) % groups or width % groups or len(x.ids) == width == groups:
            groups = 1
        layer = nn.Conv2d(
            len(x.ids), width, kernel, stride, padding, dilation, groups, bias=self.pick(True, False), padding_mode=mode
        )
        return self.dense(x, layer, (x.side + 2 * padding - reach) // stride + 1)

    def linear(self, x: Value, width: int) -> Value:
        return self.dense(x, nn.Linear(len(x.ids), width, bias=self.pick(True, False)))

    def norm(self, x: Value) -> Value:
        if not self.pick(True, True, False):
            return x
        kind = nn.BatchNorm2d if x.side else nn.BatchNorm1d
        name = self.add_layer(kind(len(x.ids), affine=self.pick(True, True, True, False)))
        self.built.scales[name] = x.ids
        return self.apply(name, [x], x.ids, x.side)

    def act(self, x: Value) -> Value:
        name = self.add_layer(ACTIVATIONS[self.pick(*ACTIVATIONS)]())
        return self.apply(name, [x], x.ids, x.side)

    def add(self, x: Value, y: Value) -> Value:
        for a, b in zip(x.ids, y.ids, strict=True):
            self.built.joined[self.built.find(a)] = self.built.find(b)
        return self.apply("add", [x, y], x.ids, x.side)

    def plain(self, x: Value) -> Value:
        return self.act(self.norm(self.conv(x, self.pick(2, 4, 5))))

    def residual(self, x: Value) -> Value:
        inner = self.act(self.norm(self.conv(x, 4, same=True)))
        out = self.norm(self.conv(inner, len(x.ids), same=True))
        shortcut = self.norm(self.conv(x, len(x.ids), same=True)) if self.pick(True, False) else x
        return self.act(self.add(shortcut, out))

    def concat(self, x: Value) -> Value:
        y = self.act(self.norm(self.conv(x, self.pick(2, 3), same=True)))
        return self.norm(self.apply("cat", [x, y], x.ids + y.ids, x.side))

    def several_readers(self, x: Value) -> Value:
        first, second = (self.norm(self.conv(x, 3, same=True)) for _ in range(2))
        if self.pick(True, False):
            return self.act(self.add(first, second))
        return self.act(self.apply("cat", [first, second], first.ids + second.ids, x.side))

    def depthwise(self, x: Value) -> Value:
        kernel, padding = self.pick((1, 0), (3, 1), (3, 0), (2, 1))
        channels = len(x.ids)
        if x.side + 2 * padding < kernel or channels == 1:
            return x
        side = x.side + 2 * padding - kernel + 1
        multiplier = self.pick(1, 1, 2)
        layer = nn.Conv2d(
            channels, multiplier * channels, kernel, padding=padding, groups=channels, bias=self.pick(True, False)
        )
        if multiplier > 1:
            return self.act(self.norm(self.dense(x, layer, side)))
        name = self.add_layer(layer)
        self.built.scales[name] = x.ids
        return self.act(self.norm(self.apply(name, [x], x.ids, side)))

    def shared(self, x: Value) -> Value:
        x = self.conv(x, 3)
        y = self.conv(x, 3, same=True)
        name = self.built.network.program[-1][1]
        for a, b in zip(self.built.reads[name], self.built.writes[name], strict=True):
            self.built.joined[self.built.find(a)] = self.built.find(b)
        return self.act(self.apply(name, [self.act(y)], y.ids, y.side))

    def pool(self, x: Value) -> Value:
        if x.side < 2:
            return x
        padding, stride = self.pick(0, 1), self.pick(1, 2)
        layer = self.pick(nn.MaxPool2d, nn.AvgPool2d)(2, stride, padding)
        return self.apply(self.add_layer(layer), [x], x.ids, (x.side + 2 * padding - 2) // stride + 1)

    def head(self, x: Value) -> Value:
        kind = self.pick("flatten", "mean", "avg", "max")
        if kind in ("avg", "max"):
            layer = nn.AdaptiveAvgPool2d(1) if kind == "avg" else nn.AdaptiveMaxPool2d(1)
            x = self.apply(self.add_layer(layer), [x], x.ids, 1)
            kind = "flatten"
        ids = [i for i in x.ids for _ in range(x.side**2)] if kind == "flatten" else x.ids
        return self.apply(kind, [x], ids, 0)

    def hidden_linear(self, x: Value) -> Value:
        return self.act(self.norm(self.linear(x, self.pick(2, 4, 6))))


@st.composite
def networks(draw) -> Built:
    """Networks with random weights, biases, norms and statistics, and random channels silenced either way."""
    spatial = draw(st.booleans()) or draw(st.booleans())
    shape = (draw(st.integers(1, 3)), *[draw(st.integers(5, 7))] * 2) if spatial else (draw(st.integers(2, 5)),)
    builder = Builder(draw, shape)
    x = Value("x", list(range(shape[0])), shape[-1] if spatial else 0)
    if spatial:
        x = builder.plain(x)
        blocks = ["plain", "residual", "concat", "several_readers", "depthwise", "shared", "pool"]
        for block in draw(st.lists(st.sampled_from(blocks), max_size=3)):
            x = getattr(builder, block)(x)
        x = builder.head(x)
    for _ in range(draw(st.integers(0 if spatial else 1, 2))):
        x = builder.hidden_linear(x)
    x = builder.linear(x, CLASSES)
    built = builder.built
    built.outputs = set(x.ids)
    built.settle()
    fill(built, random.Random(draw(st.integers(0, 2**32 - 1))), draw(st.sampled_from([0.2, 0.5, 0.8, 1.0])))
    return built


def meets_image(side: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Whether any tap of a convolution ever falls inside the image, rather than on its border alone."""
    outputs = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return any(0 <= o * stride + t * dilation - padding < side for o in range(outputs) for t in range(kernel))

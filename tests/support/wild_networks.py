"""Random networks that do what makes removal hard: other sizes, aliases, hooks, scalars over the batch, several inputs.

Unlike `random_networks`, nothing here knows which channels are removable: the networks serve to show that whatever is
removed, nothing changes. A network is a list of steps over named values, so that copies of it run on their own layers.
"""

from __future__ import annotations

import math
import random
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.cutting import WAYS, Cutting

SIDE = 9
ACTIVATIONS = [nn.ReLU, nn.ReLU, lambda: nn.ReLU(inplace=True), nn.ReLU6, nn.Sigmoid, nn.GELU, nn.Hardswish, nn.Tanh]
SHARE = 0.5  # of the channels that are silenced
RARE = 1e3  # mean amount of an input that no search reaches


def written_through_a_view(x: Tensor, y: Tensor) -> Tensor:
    x.flatten(2).add_(y.flatten(2))
    return x


def read_before_a_write(x: Tensor, y: Tensor) -> Tensor:
    alias = x
    x += y
    return alias


def written_in_part(x: Tensor, y: Tensor) -> Tensor:
    x[:, : x.shape[1] // 2] = y[:, : x.shape[1] // 2]
    return x


def by_position(x: Tensor, y: Tensor) -> Tensor:
    return x * y.amax((2, 3), keepdim=True)


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "cat": lambda x, y: torch.cat([x, y], 1),
    "multiply": torch.mul,
    "written in place": lambda x, y: x.add_(y),
    "written through a view": written_through_a_view,
    "read before a write": read_before_a_write,
    "written in part": written_in_part,
    "batch mean": lambda x, y: x * y.mean(),
    "batch maximum": lambda x, y: x + y.amax(),
    "a number of the batch": lambda x, y: nn.functional.leaky_relu(x, abs(y.mean().item())),
    "a gate of each sample": by_position,
    "gated halves": lambda x, y: nn.functional.glu(x + y, 1).repeat(1, 2, 1, 1),
    "a size in the scale": lambda x, y: (x + y) / x.shape[-1],
    "a size in the shift": lambda x, y: x + y - math.sqrt(x.shape[-2]) / 2,
    "the batch in the scale": lambda x, y: (x + y) * len(x),
    "shuffled": lambda x, y: nn.functional.channel_shuffle(x + y, 2),
    "rolled": lambda x, y: x + y.roll(1, 1),
}


def adds_what_came_in(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + inputs[0].mean((1, 2, 3), keepdim=True)


def halves_what_comes_in(layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return inputs[0] / 2


def patched(layer: nn.Module, x: Tensor) -> Tensor:
    return type(layer).forward(layer, x) + x.mean((1, 2, 3), keepdim=True)


PICKS: list[Callable[[Tensor], Tensor]] = [
    lambda weight: weight.flatten()[0],
    lambda weight: weight.view(-1)[7],
    lambda weight: weight.transpose(0, 1)[0, 2].flatten()[0],
    lambda weight: weight[2, 0].view(-1)[-1],
    lambda weight: torch.as_strided(weight, (1,), (1,), 5),
    lambda weight: weight[-1].mean(),
    lambda weight: weight.unbind(0)[1].amax(),
    lambda weight: weight.detach().norm(),
]


class Wild(nn.Module):
    """Runs steps (result, layer or operation, sources) and returns logits alone, in a tuple or in a dict."""

    def __init__(self, form: str):
        super().__init__()
        self.layers, self.form, self.picked = nn.ModuleDict(), form, ("", PICKS[0])
        self.steps: list[tuple[str, str, list[str]]] = []

    def forward(self, x: Tensor, second: Tensor | None = None) -> Any:
        values = {"x": x} if second is None else {"x": x, "second": second}
        for result, name, sources in self.steps:
            run = self.layers[name] if name in self.layers else OPERATIONS.get(name, self.pick)
            values[result] = run(*[values[s] for s in sources])
        last = values[self.steps[-1][0]]
        return {"tensor": last, "tuple": (last, last.sum(1)), "dict": {"logits": last, "sum": [last.sum(1)]}}[self.form]

    def pick(self, x: Tensor, inputs: Tensor) -> Tensor:
        layer, pick = self.picked
        return x + (inputs.abs().mean((1, 2, 3)) - RARE).relu()[:, None] * pick(self.layers[layer].weight)


@dataclass
class Value:
    name: str
    width: int


class Grower:
    """Grows a network step by step from a seed."""

    def __init__(self, seed: int):
        self.choice = random.Random(seed)
        self.network = Wild(self.choice.choice(["tensor", "tensor", "tuple", "dict"]))
        self.inputs = [Value("x", self.choice.choice([1, 3]))]
        if self.choice.random() < 0.25:
            self.inputs.append(Value("second", 2))

    def step(self, name: str, sources: list[Value], width: int) -> Value:
        result = f"v{len(self.network.steps)}"
        self.network.steps.append((result, name, [s.name for s in sources]))
        return Value(result, width)

    def layer(self, layer: nn.Module, x: Value, width: int) -> Value:
        name = f"{type(layer).__name__.lower()}{len(self.network.layers)}"
        self.network.layers[name] = layer
        return self.step(name, [x], width)

    def conv(self, x: Value, width: int) -> Value:
        """A convolution that keeps the size, mostly; now and then with a hook or a patched forward."""
        kernel = self.choice.choice([1, 3, 3])
        mode = self.choice.choice(["zeros", "zeros", "zeros", "reflect", "circular"])
        groups = 2 if x.width % 2 == width % 2 == 0 and self.choice.random() < 0.2 else 1
        layer = nn.Conv2d(x.width, width, kernel, padding=kernel // 2, padding_mode=mode, groups=groups)
        trick = self.choice.random()
        if trick < 0.05:
            layer.register_forward_hook(adds_what_came_in)
        elif trick < 0.1:
            layer.register_forward_pre_hook(halves_what_comes_in)
        elif trick < 0.15:
            layer.forward = types.MethodType(patched, layer)
        return self.layer(layer, x, width)

    def plain(self, x: Value, width: int) -> Value:
        x = self.conv(x, width)
        if self.choice.random() < 0.5:
            x = self.layer(nn.BatchNorm2d(width), x, width)
        return self.layer(self.choice.choice(ACTIVATIONS)(), x, width)

    def spatial(self, x: Value) -> Value:
        """What makes a constant depend on the position, or on the size."""
        layer = self.choice.choice([
            nn.Conv2d(x.width, x.width, 3, padding=1, groups=x.width), nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1),
            nn.AvgPool2d(2, 1, 1, count_include_pad=False), nn.ZeroPad2d(1), nn.ConstantPad2d(1, 0.5),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.LocalResponseNorm(2), nn.GroupNorm(1, x.width),
        ])  # fmt: skip
        return self.layer(layer, x, x.width)

    def joined(self, x: Value) -> Value:
        """Two branches of one width, and an operation that joins them."""
        width = self.choice.choice([4, 6])
        make = self.choice.choice([self.conv, self.plain])
        first, second = make(x, width), self.conv(x, width)
        name = self.choice.choice(list(OPERATIONS))
        return self.step(name, [first, second], 2 * width if name == "cat" else width)

    def grouped(self, x: Value) -> Value:
        """Groups of convolutions, of which channels are silenced at random, unevenly."""
        x = self.plain(x, 16)
        layer = nn.Conv2d(16, 16, 3, padding=1, groups=4, bias=self.choice.random() < 0.5)
        x = self.layer(self.choice.choice(ACTIVATIONS)(), self.layer(layer, x, 16), 16)
        return self.plain(x, 8)

    def cut(self, x: Value) -> Value:
        """Parts of eight channels, cut by numbers that a module keeps, or weighed against each other."""
        x = self.plain(x, 8)
        return self.layer(Cutting(self.choice.choice(WAYS), 8), x, 8)

    def picked(self, x: Value) -> Value:
        """Code that reads a number off a layer's weight, for what only inputs beyond RARE wake."""
        layers = [name for name, layer in self.network.layers.items() if isinstance(layer, nn.Conv2d | nn.Linear)]
        self.network.picked = self.choice.choice(layers), self.choice.choice(PICKS)
        return self.step("picked", [x, self.inputs[0]], x.width)

    def grow(self) -> Wild:
        x = self.plain(self.inputs[0], 4)
        if len(self.inputs) > 1:
            x = self.step("add", [x, self.conv(self.inputs[1], 4)], 4)
        for _ in range(self.choice.randint(1, 4)):
            x = self.choice.choice([self.spatial, self.joined, self.cut, self.grouped, lambda x: self.plain(x, 5)])(x)
        pool, places = self.choice.choice([(nn.AdaptiveAvgPool2d(1), 1), (nn.AdaptiveMaxPool2d(1), 1),
                                           (nn.AdaptiveAvgPool2d(2), 4)])  # fmt: skip
        x = self.layer(nn.Flatten(), self.layer(pool, x, x.width), places * x.width)
        if self.choice.random() < 0.5:
            x = self.layer(nn.ReLU(), self.layer(nn.Linear(x.width, 6), x, 6), 6)
        x = self.layer(nn.Linear(x.width, 3), x, 3)
        if self.choice.random() < 0.5:
            self.picked(x)
        return self.network


def wild_network(seed: int) -> tuple[Wild, tuple[tuple[int, int], ...]]:
    """A silenced network in float64 and evaluation mode, and for each input its channels and whether it is an image."""
    grower = Grower(seed)
    network = grower.grow().double().eval()
    silence(network, torch.Generator().manual_seed(seed))
    return network, tuple(value.width for value in grower.inputs)


@torch.no_grad()
def silence(network: Wild, generator: torch.Generator) -> None:
    """Random weights and statistics; zero rows, with biases that make some of their units sleep and some constant."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.copy_(drawn / max(1, tensor[0].numel()) ** 0.5 if tensor.dim() > 1 else drawn.abs() + 0.3)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers[:-1]:
        if layer.bias is not None:
            layer.bias -= 0.8
        gone = torch.rand(len(layer.weight), generator=generator) < SHARE
        layer.weight[gone] = 0
        if layer.bias is None:
            continue
        layer.bias[gone] = torch.tensor([-6.0, -1, 0, 1])[
            torch.randint(4, (int(gone.sum()),), generator=generator)
        ].double()


def inputs_of(widths: tuple[int, ...], side: int, count: int, seed: int, scale: float = 1.0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        scale * torch.randn(count, width, side, side, generator=generator, dtype=torch.float64) for width in widths
    )

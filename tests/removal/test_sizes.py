"""A constant that meets a number made of the input's size, or of the batch's, is none."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.removal import remove_silent
from benchmark.removal.exact import Removal, RemovalError

SIDE, AWAKE = 6, 20.0  # an ordinary input's side; the last layer wakes on inputs so many times as large


class Sized(nn.Module):
    """A layer whose output meets a number, and one behind it that sleeps on ordinary inputs."""

    def __init__(self, meet: Callable[[Tensor], Tensor]):
        super().__init__()
        self.first, self.second, self.head, self.meet = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 1), nn.Linear(3, 2), meet

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.meet(self.first(x))).relu().mean((2, 3)))


def images(side: int, count: int = 3, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(side * count)
    return scale * torch.randn(count, 1, side, side, generator=generator, dtype=torch.float64)


def reduced(meet: Callable[[Tensor], Tensor], constant: float) -> Removal:
    """The removal from a network in which one channel emits a constant; it is seen to be exact for many inputs."""
    torch.manual_seed(0)
    network = Sized(meet).double().eval()
    with torch.no_grad():
        network.first.weight[1], network.first.bias[1] = 0, constant
        network.second.bias.fill_(-5)
    removal = remove_silent(network, images(SIDE))
    with torch.no_grad():
        for x in (images(side, n, s) for side in (SIDE, 7, 12, 19) for n in (1, 3, 8) for s in (1, AWAKE, 9 * AWAKE)):
            expected = network(x)
            assert (removal.module(x) - expected).abs().max() <= 1e-12 * expected.abs().max()
    return removal


FOLLOWING = {
    "divided by the width": lambda x: x / x.shape[-1],
    "a root": lambda x: x * math.sqrt(x.size(2)),
    "a whole part": lambda x: x + x.shape[-1] // 2,
    "a tensor of one number": lambda x: x - torch.tensor(float(x.shape[-1])),
    "a filled tensor": lambda x: x * x.new_full((1,), x.shape[2]),
    "a number by name": lambda x: torch.subtract(x, torch.ones(()), alpha=x.shape[-1]),
    "how many positions": lambda x: x + x.new_ones(x.shape[2:]).sum(),
    "a slope": lambda x: F.leaky_relu(-x, 0.01 * x.shape[-1]),
    "a bound": lambda x: x.clamp(max=x.shape[-1] / 8),
    "the batch": lambda x: x / len(x),
    "in place": lambda x: x.clone().mul_(x.shape[-1]),
    "a pooling's own divisor": lambda x: F.avg_pool2d(x, x.shape[-1], divisor_override=4),
    "a branch": lambda x: x + 2 if x.shape[-1] < 6 else F.relu(x) + 2,
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_what_follows_the_size_stays(name):
    assert reduced(FOLLOWING[name], 3.0).channels_left["first"] == 4


@pytest.mark.parametrize("name", ["divided by the width", "a root", "a pooling's own divisor"])
def test_zeros_stay_zeros_whatever_the_number(name):
    assert reduced(FOLLOWING[name], 0.0).channels_left["first"] == 3


def doubled(x: Tensor) -> Tensor:
    """Meets no number, behind operations that are others at other sizes."""
    y = x.clone() if x.shape[-1] > SIDE else x
    return y + y


@pytest.mark.parametrize(
    "meet",
    [
        lambda x: x / 3,
        lambda x: x + torch.tensor(2.0),
        lambda x: torch.subtract(x, torch.ones(()), alpha=2),
        lambda x: F.hardtanh(x, -4, 4),
        nn.LeakyReLU(0.2),
        nn.ReLU6(),
        doubled,
    ],
)
def test_what_meets_a_number_of_the_code_goes(meet):
    assert reduced(meet, 3.0).channels_left["first"] == 3


def test_a_branch_that_no_number_shows_is_found_by_the_proof():
    with pytest.raises(RemovalError, match="size"):
        reduced(lambda x: x if x.shape[-1] < 6 else x + 1, 3.0)


def test_a_hook_on_an_activation_is_seen():
    activation = nn.Hardtanh(-9, 9)
    activation.register_forward_hook(lambda layer, inputs, output: output / output.shape[-1])
    assert reduced(activation, 3.0).channels_left["first"] == 4

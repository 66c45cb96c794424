"""Code that minds how many channels there are, or which: what would compute something else without them stays whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups

IMAGES = torch.randn(3, 1, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Between(nn.Module):
    """An operation between two layers, behind which no difference shows to the search: all units there sleep."""

    def __init__(self, operation, width: int, groups: int = 0):
        super().__init__()
        torch.manual_seed(0)
        self.operation, self.groups = operation, groups
        self.first, self.last = nn.Conv2d(1, width, 3), nn.Conv2d(width, 3, 1)
        self.middle = nn.Conv2d(width, width, 3, groups=groups) if groups else nn.Identity()
        self.twins = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(2))

    def forward(self, x):
        y = self.last(self.operation(self, self.middle(self.first(x).relu())))
        return F.hardshrink(y, 1e3).mean((2, 3)) + x.mean((1, 2, 3))[:, None]


def silent(network: Between, dead) -> Between:
    with torch.no_grad():
        for layer in (network.first, network.middle)[: 2 if network.groups else 1]:
            layer.weight[list(dead)], layer.bias[list(dead)] = 0, 1
    return network.double()


def half(_, x):
    c = x.shape[1] // 2
    return torch.cat([x[:, :c] * 2, x[:, c:]], 1)


def permuted(_, x):
    c = x.shape[1]
    return x[:, [(3 * i + 1) % c for i in range(c)]] if c % 3 else x.flip(1)


MINDED = {
    "halves": (half, 16, (1, 2)),
    "halves of which one loses more": (half, 16, (0, 1, 15)),
    "an order that the width decides": (permuted, 6, (1, 2)),
    "the width, up to a limit": (lambda _, x: x * min(x.shape[1], 4), 16, range(1, 14)),
    "a limit of the width": (lambda _, x: x * (1 if x.shape[1] > 4 else 2), 16, range(1, 14)),
    "a position that the width decides": (lambda _, x: x + x[:, :, x.shape[1] // 8 :][:, :, :1], 16, range(1, 14)),
    "rows moved by the width": (lambda _, x: x.roll(x.shape[1], 2), 16, range(1, 14)),
    "a list of numbers": (lambda _, x: x * torch.tensor([2.0, x.shape[1]])[1], 16, (1, 2)),
    "the layer": (lambda net, x: net.twins[x.shape[1] > 4](x), 16, range(1, 14)),
}


@pytest.mark.parametrize("name", MINDED)
def test_channels_whose_number_or_place_code_minds_stay(name):
    operation, width, dead = MINDED[name]
    removal = remove_silent(silent(Between(operation, width), dead), IMAGES)
    assert removal.channels_left["first"] == width
    assert "depends on how many there are" in removal.kept_whole["first"]


@pytest.mark.parametrize(("groups", "width"), [(2, 4), (4, 12)])
@pytest.mark.parametrize("dead", ["one of each group", "the last group"])
def test_the_width_behind_a_grouped_convolution_is_minded_too(groups, width, dead):
    places = range(0, width, width // groups) if dead == "one of each group" else range(width - width // groups, width)
    removal = remove_silent(silent(Between(lambda _, x: x / x.shape[1], width, groups), places), IMAGES)
    assert removal.channels_left["middle"] == width
    assert "depends on how many there are" in removal.kept_whole["middle"]


@pytest.mark.parametrize("groups", [2, 4])
def test_whole_groups_go_where_nothing_minds_the_width(groups):
    network = silent(Between(lambda _, x: x * 2, 12, groups), range(12 // groups))
    assert find_groups(network, IMAGES).kept_whole == {}
    assert remove_silent(network, IMAGES).channels_left["middle"] == 12 - 12 // groups


@pytest.mark.parametrize(
    "operation", [lambda _, x: x.flip(1), lambda _, x: torch.cat([x.chunk(1, 1)[0], 2 * x], 1)[:, -x.shape[1] :]]
)
def test_moves_that_keep_the_order_of_those_left_let_channels_go(operation):
    assert remove_silent(silent(Between(operation, 16), (1, 2, 3)), IMAGES).channels_left["first"] == 13


def test_only_the_groups_stay_that_are_to_blame():
    network = Between(lambda net, x: (y := net.twins[0](x)) * min(y.shape[1], 4), 16)
    with torch.no_grad():
        network.twins[0].weight[1:14] = 0
    removal = remove_silent(silent(network, (1, 2, 3)), IMAGES)
    assert removal.channels_left == {"first": 13, "twins.0": 16}

"""Channels that code cuts into parts by numbers that it keeps, and parts that are weighed against each other."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups
from tests.support.cutting import EXACT, WAYS, WHOLE, Cutting

IMAGES = [torch.randn(3, 2, side, side, dtype=torch.float64) for side in (9, 14)]


class Twice(Cutting):
    """Cuts two tensors, of other channels each, by one number."""

    def __init__(self, width: int):
        super().__init__("narrowed", width)
        self.other, self.joint = nn.Conv2d(width, width, 1), nn.Conv2d(2 * width, width, 1)

    def narrowed(self, x):
        return self.joint(torch.cat([super().narrowed(x), super().narrowed(self.other(x).relu())], 1))


def network(middle: nn.Module, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    front = (nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), middle)
    behind = (nn.Conv2d(8, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return nn.Sequential(*front, *behind).double().eval()


@torch.no_grad()
def silence(net: nn.Module, share: float = 0.5, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for group in find_groups(net, IMAGES[0]).groups:
        group.zero_incoming(torch.rand(group.size, generator=generator) < share)
    return net


def check(net: nn.Module):
    removal = remove_silent(net, IMAGES[0])
    for images in IMAGES:
        expected, found = copy.deepcopy(net)(images), removal.module.eval()(images)
        assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()
    return removal


@pytest.mark.parametrize("way", EXACT)
def test_what_is_cut_or_weighed_by_parts_can_go(way):
    net = network(Cutting(way, 8))
    assert find_groups(net, IMAGES[0]).kept_whole == {}
    with torch.no_grad():
        net[0].weight[[0, 1, 4, 5]], net[1].bias[[0, 1, 4, 5]] = 0, -1
        net[3].gate.weight[[0, 1, 4, 5, 8, 9, 12, 13]] = 0
    removal = check(net)
    assert removal.channels_left["0"] < removal.channels["0"]


@pytest.mark.parametrize("way", WHOLE)
def test_a_number_that_does_more_than_cut_keeps_the_channels_whole(way):
    net = network(Cutting(way, 8))
    assert "0" in find_groups(net, IMAGES[0]).kept_whole
    net[0].weight.data[[0, 1, 4, 5]] = 0
    assert check(net).channels_left["0"] == 8


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_silent_nothing_changes_at_two_sizes(way, seed):
    check(silence(network(Cutting(way, 8), seed), 0.2 + 0.2 * seed, seed))


def test_parts_that_must_be_alike_keep_as_many_channels_as_the_widest():
    net = network(Cutting("halves", 8))
    net[0].weight.data[[0, 1, 2, 4]], net[1].bias.data[[0, 1, 2, 4]] = 0, -1
    removal = check(net)
    assert removal.channels_left["0"] == 6
    assert removal.module[3].width == 6


def test_parts_of_listed_widths_lose_what_is_silent_in_each_of_them():
    net = network(Cutting("listed", 8))
    net[0].weight.data[[0, 1, 4]], net[1].bias.data[[0, 1, 4]] = 0, -1
    removal = check(net)
    assert removal.module[3].parts == [2, 2, 1]
    assert net[3].parts == [4, 3, 1]


def test_a_part_that_is_silent_keeps_a_channel():
    net = network(Cutting("listed", 8))
    net[0].weight.data[4:], net[1].bias.data[4:] = 0, -1
    assert check(net).module[3].parts == [4, 1, 1]


def test_a_number_that_cuts_two_tensors_keeps_both_whole():
    assert {"0", "3.other"} <= find_groups(network(Twice(8)), IMAGES[0]).kept_whole.keys()


def test_following_leaves_no_hooks_behind():
    net = network(Cutting("halves", 8))
    find_groups(net, IMAGES[0])
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


def test_a_softmax_over_positions_is_no_constant_at_other_sizes():
    net = network(Cutting("softmax_of_positions", 8))
    net[0].weight.data[:4], net[1].bias.data[:4] = 0, -1
    check(net)


@pytest.mark.parametrize(("dead", "left"), [([0, 1, 4, 5], 4), ([0, 1], 8)])
def test_a_gated_linear_unit_loses_what_is_silent_in_both_halves(dead, left):
    net = network(nn.Sequential(nn.GLU(1), nn.Conv2d(4, 8, 1)))
    assert find_groups(net, IMAGES[0]).kept_whole == {}
    net[0].weight.data[dead], net[1].bias.data[dead] = 0, 1
    assert check(net).channels_left["0"] == left


def test_a_gated_linear_unit_of_positions_lets_channels_go():
    net = network(nn.GLU(-1))[1:]
    net = nn.Sequential(nn.Conv2d(2, 8, (3, 4)), *net).double().eval()
    net[0].weight.data[:3], net[1].bias.data[:3] = 0, -1
    removal = remove_silent(net, IMAGES[0])
    assert removal.channels_left["0"] == 5
    assert removal.deviation <= 1e-12

"""Groups of a convolution that silent channels leave uneven share new ones, and nothing changes."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.networks.measure import parameters
from benchmark.removal import silence
from benchmark.removal.exact import Removal, remove_silent
from benchmark.removal.groups import find_groups

GROUPS, WIDTH = 8, 8


class Block(nn.Module):
    """A stem, a grouped convolution on it and a head, with something done to the channels on the way."""

    def __init__(self, kind: str = "plain"):
        super().__init__()
        wide, self.kind = GROUPS * WIDTH, kind
        self.stem, self.norm = nn.Conv2d(3, wide, 3), nn.BatchNorm2d(wide)
        self.mid = nn.Conv2d(wide, wide, 3, padding=1, groups=GROUPS, bias=kind != "no bias")
        self.last, self.head = nn.BatchNorm2d(wide), nn.Conv2d(wide, 96, 3)
        self.squeeze, self.excite = nn.Conv2d(wide, 6, 1), nn.Conv2d(6, wide, 1)
        self.scale = nn.Parameter(torch.randn(wide, 1, 1))
        if kind == "replaced":
            self.mid.forward = partial(fixed_groups, self.mid)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        y = F.channel_shuffle(x, 2) if self.kind == "shuffled" else x
        y = self.last(fixed_groups(self.mid, y) if self.kind == "functional" else self.mid(y)).relu()
        if self.kind == "excited":
            y = y * self.excite(self.squeeze(y.mean((2, 3), keepdim=True)).relu()).sigmoid()
        if self.kind == "scaled":
            y = y * self.scale
        if self.kind == "halved":
            y = torch.cat([y[:, :32] * 2, y[:, 32:]], 1)
        return self.head(x + y if self.kind == "residual" else y)


def fixed_groups(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=1, groups=GROUPS)


@torch.no_grad()
def uneven(kind: str, seed: int = 0) -> Block:
    """A block, half of the channels of each group silent at random; they emit constants."""
    torch.manual_seed(seed)
    block = Block(kind).double()
    for norm in (block.norm, block.last):
        norm.weight.normal_(), norm.bias.normal_(), norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
    for group in find_groups(block, images()).groups:
        group.zero_incoming(torch.rand(group.size) < 0.5)
    return block.eval()


def images(side: int = 9) -> Tensor:
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(side), dtype=torch.float64)


def checked(block: Block) -> Removal:
    """The removal, once it is seen to be exact at three sizes."""
    removal = remove_silent(block, images())
    for side in (9, 7, 14):
        expected = block(images(side))
        assert (removal.module(images(side)) - expected).abs().max() <= 1e-12 * expected.abs().max()
    return removal


def unpacked(block: Block, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    with monkeypatch.context() as patch:
        patch.setattr(silence, "find_packings", lambda followed, dead: {})
        return remove_silent(block, images()).module


@pytest.mark.parametrize("kind", ["plain", "no bias", "excited", "scaled"])
@pytest.mark.parametrize("seed", range(3))
def test_groups_share_one_where_that_is_smaller(kind, seed, monkeypatch):
    block = uneven(kind, seed)
    removal = checked(block)
    reduced, other = removal.module, unpacked(block, monkeypatch)
    assert reduced.mid.groups < other.mid.groups
    assert parameters(reduced) < 0.95 * parameters(other)
    assert removal.channels_left["stem"] == reduced.mid.in_channels == reduced.stem.out_channels
    assert removal.channels_left["mid"] == reduced.mid.out_channels == reduced.head.in_channels


@pytest.mark.parametrize("kind", ["shuffled", "halved", "residual", "replaced", "functional"])
def test_channels_whose_order_something_else_minds_stay_in_it(kind):
    assert checked(uneven(kind)).module.mid.groups == GROUPS


def test_even_groups_stay_as_they_are():
    block = uneven("plain")
    with torch.no_grad():
        block.norm.bias[::2], block.norm.running_mean[::2], block.stem.bias[::2] = -1, 0, 0  # which emits no constant
        for layer in (block.stem, block.mid):
            layer.weight.normal_()
            layer.weight[::2] = 0
    mid = checked(block).module.mid
    assert (mid.groups, mid.in_channels, mid.out_channels) == (GROUPS, 32, 32)


def test_a_layer_without_a_living_output_keeps_one_a_group():
    block = uneven("plain")
    with torch.no_grad():
        block.mid.weight.zero_()
    assert checked(block).collapsed


def test_what_was_packed_can_be_reduced_again():
    once = checked(uneven("excited")).module
    with torch.no_grad():
        for group in find_groups(once, images()).groups:
            group.zero_incoming(torch.arange(group.size) % 3 == 0)
    kept = parameters(copy.deepcopy(once))
    assert parameters(checked(once).module) < kept

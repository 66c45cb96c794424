"""Constants reach layers that are written by hand: a weight that code multiplies by, and no bias to put them into."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.removal import remove_silent

EXAMPLE = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Own(nn.Module):
    """A linear layer that is a weight alone."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))

    def forward(self, x):
        return F.linear(x, self.weight)


class Tied(nn.Embedding):
    """An embedding that is used the other way round."""

    def forward(self, x):
        return F.linear(x, self.weight)


class Twice(nn.Linear):
    """A layer that adds its bias at one of two calls."""

    def forward(self, x):
        return super().forward(x) + F.linear(x, self.weight).tanh()


def between(layer: nn.Module, norm: nn.Module, unread: bool) -> nn.Module:
    """A network in which one channel that the layer reads emits 2; if `unread`, the layer's weights for it are zero."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), layer, norm, nn.Linear(4, 2)).double().eval()
    network[0].weight.data[1], network[0].bias.data[1] = 0, 2
    if unread:
        network[2].weight.data[:, 1] = 0
    return network


@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("layer", [lambda: Own(5, 4), lambda: Tied(4, 5), lambda: Twice(5, 4)])
def test_a_constant_goes_into_a_norm_behind_or_stays_or_is_not_missed(layer, normed, unread):
    network = between(layer(), nn.BatchNorm1d(4) if normed else nn.ReLU(), unread)
    absorbed = normed and not isinstance(network[2], Twice)
    removal = remove_silent(network, EXAMPLE)
    assert removal.channels_left["0"] == (4 if absorbed or unread else 5)
    with torch.no_grad():
        assert torch.allclose(removal.module(EXAMPLE), network(EXAMPLE), rtol=0, atol=1e-12)

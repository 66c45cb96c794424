"""Which channels are silent and which must stay, on networks small enough to know the answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.removal.labels import hidden_groups
from benchmark.removal.silence import Silence, find_silence
from benchmark.removal.trace import trace


def silence_of(network: nn.Module, *shape: int) -> Silence:
    network.double().eval()
    batch = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    followed = trace(network, batch)
    return find_silence(followed, hidden_groups(followed))


@pytest.mark.parametrize(
    ("layer", "hidden"),
    [
        (nn.Conv2d(1, 1, 3), False),
        (nn.Conv2d(1, 1, 3, padding=1), True),
        (nn.Conv2d(1, 1, 1, padding=1), True),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), False),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), False),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate"), False),
        (nn.Conv2d(1, 1, 3, padding="valid"), False),
        (nn.Conv2d(1, 1, 3, padding="same"), True),
        (nn.Conv2d(1, 1, 1, padding="same"), False),
    ],
)
def test_only_a_zero_border_hides_constants(layer, hidden):
    followed = trace(nn.Sequential(layer), torch.randn(2, 1, 5, 5))
    assert followed.layers["0"].bordered is hidden


def test_a_unit_that_is_merely_inactive_on_the_batch_is_not_silent():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    network[0].bias.data[:2] = -1e6
    assert not silence_of(network, 3).dead.any()


def test_silence_travels_both_ways():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    network[4].weight.data[:, 0] = 0  # nothing reads unit 0 of the second layer,
    network[2].weight.data[1:, 1] = 0  # which alone reads unit 1 of the first;
    network[0].weight.data[2] = 0  # unit 2 of the first is constant,
    network[2].weight.data[3, [0, 1, 3]] = 0  # and unit 3 of the second hangs on it alone
    silence = silence_of(network, 3)
    assert silence.gone.sum() == 4
    assert not silence.collapsed


def test_a_zero_scale_silences_a_channel():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.SiLU(), nn.Linear(4, 2))
    network[1].weight.data[1], network[1].bias.data[1] = 0, 0.7
    assert silence_of(network, 3).gone.sum() == 1


def test_a_parameter_of_zero_silences_a_channel_and_another_does_not():
    class Scaled(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 4), nn.Linear(4, 2))
            self.scale = nn.Parameter(torch.tensor([1.0, 0.0, 2.0, -1.0]))

        def forward(self, x):
            return self[1](self[0](x) * self.scale)

    assert silence_of(Scaled(), 3).gone.sum() == 1


class Product(nn.Module):
    """A sum of a product and a layer; unit 1 of one factor alone reads unit 0 of the first layer."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(3, 4), nn.Linear(3, 4)
        self.a.weight.data[[0, 2, 3], 0] = 0

    def forward(self, x):
        return self.head(self.a(self.first(x).tanh()) * self.b(x) + self.c(x))


def test_what_a_factor_of_zero_hides_is_silent():
    network = Product()
    network.b.weight.data[1], network.b.bias.data[1] = 0, 0
    assert silence_of(network, 3).gone.sum() == 1
    network.b.bias.data[1] = 1
    assert silence_of(network, 3).gone.sum() == 0


def test_what_makes_a_product_that_nothing_reads_is_silent():
    network = Product()
    network.head.weight.data[:, 1] = 0
    assert silence_of(network, 3).gone.sum() == 2


def test_the_carrier_is_the_constant_that_serves_most_readers():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.scale = nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3)
            self.a, self.b = nn.Conv2d(3, 1, 3, padding=1), nn.Conv2d(3, 1, 3, padding=1)

        def forward(self, x):
            x = self.stem(x)
            return self.a(x.relu()) + self.b((-1 * x).relu() + 0 * x)

    network = Two()
    network.stem.weight.data[:2] = 0
    network.stem.bias.data[:2] = torch.tensor([1.0, 2.0])
    network.b.weight.data.abs_()
    silence = silence_of(network, 1, 5, 5)
    assert silence.gone.sum() == 1
    assert silence.carriers == {"a": {0: 1}}


@pytest.mark.parametrize(("weak", "carriers"), [(1e-2, {"a": {0: 1}}), (1e-4, {})])
def test_a_constant_too_weak_for_float32_carries_nothing(weak, carriers):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(1, 3, 1)
            self.a, self.b = nn.Conv2d(3, 1, 3, padding=1), nn.Conv2d(3, 1, 3, padding=1)

        def forward(self, x):
            x = self.stem(x)
            return self.a(x.relu()) + self.b((1 + -1 * x).relu())

    network = Two()
    network.stem.weight.data[:2] = 0
    network.stem.bias.data[:2] = torch.tensor([1.0, weak])  # b hears of the second only, which stays for it
    silence = silence_of(network, 1, 5, 5)
    assert silence.gone.sum() == len(carriers)
    assert silence.carriers == carriers


def test_a_layer_without_a_living_channel_keeps_a_husk():
    network = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    network[0].weight.data.zero_()
    silence = silence_of(network, 3)
    assert silence.collapsed
    assert (silence.dead.sum(), silence.husks.sum(), silence.gone.sum()) == (4, 1, 3)

"""All that a network returns is compared, each tensor by its own measure."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmark.removal.exact import remove_silent
from benchmark.removal.proof import attack, difference, relative
from tests.removal.test_proof import HIDDEN, WIDTH, noise, randomise


def test_an_output_that_only_one_network_makes_infinite_is_a_difference():
    inf, nan = float("inf"), float("nan")
    assert difference(torch.tensor([inf, nan, 1]), torch.tensor([inf, nan, 1])) == 0
    for value in (inf, nan, -inf):
        assert difference(torch.tensor([value, 1]), torch.tensor([2.0, 1])) == inf
        assert difference(torch.tensor([2.0, 1]), torch.tensor([value, 1])) == inf
    assert difference(torch.ones(2), torch.ones(2, 1)) == inf


def test_each_output_is_measured_by_its_own_largest_value():
    large, small, nothing, rounding = (torch.tensor([y]) for y in (1e9, 2.0, 0.0, 1e-16))
    assert relative([large, small + 1], [large, small], [1e9, 1.0]) == 0.5
    assert relative([large, small + 1], [large, small], [1e9, 4.0]) == 0.25
    assert relative([rounding, small], [nothing, small]) == pytest.approx(1e-16 / 2e-9)
    assert relative([rounding], [nothing]) == pytest.approx(1e-16)
    assert relative([rounding], [rounding, nothing]) == float("inf")
    assert relative([], [], [1.0]) == 0


class Beside(nn.Module):
    """Logits, and a number for the whole batch, as auxiliary losses are."""

    def __init__(self, number):
        super().__init__()
        self.a, self.h, self.number = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, 2), number

    def forward(self, x):
        y = self.a(x).relu()
        return self.h(y), self.number(x, y)


def test_a_number_beside_the_logits_is_searched_too():
    silenced = randomise(Beside(lambda x, y: y.pow(2).mean()))
    silenced.a.weight.data[0], silenced.a.bias.data[0] = 0, -6
    example = noise(6, WIDTH)
    assert attack(silenced, copy.deepcopy(silenced), (example,)).deviation == 0
    assert remove_silent(silenced, example).channels_left == {"a": HIDDEN}
    silenced.number = lambda x, y: x.pow(2).mean()
    assert remove_silent(silenced, example).channels_left == {"a": HIDDEN - 1}


def test_both_parts_of_a_complex_output_are_compared():
    class Spectrum(nn.Linear):
        def forward(self, x):
            return torch.complex(x[:, 0], super().forward(x)[:, 0])

    silenced, reduced = randomise(Spectrum(WIDTH, 1)), randomise(Spectrum(WIDTH, 1))
    reduced.weight.data[0, 0] = 0
    assert attack(silenced, reduced, (noise(6, WIDTH),)).deviation > 1e-3

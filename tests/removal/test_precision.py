"""What code takes from the dtype is another number in float64, where constants are measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.removal import remove_silent
from benchmark.removal.exact import RemovalError
from benchmark.removal.precision import check_in_own_precision


class Between(nn.Module):
    """What code makes of a layer's output, in which one channel is zero, and another layer."""

    def __init__(self, made):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.made = nn.Linear(3, 4), nn.Linear(4, 2), made
        self.first.weight.data[1], self.first.bias.data[1] = 0, -1

    def forward(self, x):
        return self.last(self.made(self.first(x).relu()))


EXAMPLE = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])


@DTYPES
@pytest.mark.parametrize("number", [float, torch.tensor])
def test_what_meets_a_number_taken_from_the_dtype_stays_but_in_float64(dtype, number):
    network = Between(lambda y: (y + number(torch.finfo(y.dtype).eps)).log()).to(dtype)
    assert remove_silent(network, EXAMPLE.to(dtype)).channels_left == {"first": 3 if dtype == torch.float64 else 4}


@DTYPES
def test_what_meets_the_same_number_in_every_dtype_goes(dtype):
    network = Between(lambda y: (y + 1e-3).log()).to(dtype)
    assert remove_silent(network, EXAMPLE.to(dtype)).channels_left == {"first": 3}


@DTYPES
def test_a_branch_on_the_dtype_is_found(dtype):
    network = Between(lambda y: y.exp() if y.dtype == torch.float64 else y).to(dtype)
    if dtype == torch.float64:
        assert remove_silent(network, EXAMPLE.to(dtype)).channels_left == {"first": 3}
    else:
        with pytest.raises(RemovalError, match="in its own precision"):
            remove_silent(network, EXAMPLE.to(dtype))


class Fixed(nn.Module):
    """Returns, or fails with, what it is given."""

    def __init__(self, outputs, dtype=torch.float32):
        super().__init__()
        self.outputs, self.scale = outputs, nn.Parameter(torch.ones((), dtype=dtype))

    def forward(self, x):
        if isinstance(self.outputs, Exception):
            raise self.outputs
        return self.outputs


INF = float("inf")
SAME = {
    "rounding": (torch.tensor([1.0, 2]), torch.tensor([1.0, 2.019])),
    "what is infinite already": (torch.tensor([INF, 2]), torch.tensor([1.0, 2])),
    "a decision that rounding turns": (torch.tensor([3]), torch.tensor([5])),
    "what rounding leaves": ((torch.tensor([1.0]), torch.tensor([1e-8])), (torch.tensor([1.0]), torch.tensor([2e-8]))),
    "what the processor lacks": (RuntimeError("not implemented"), torch.tensor([1.0])),
}
OTHER = {
    "in its own precision .* by 0.0105": (torch.tensor([1.0, 2]), torch.tensor([1.0, 2.021])),
    "by inf": (torch.tensor([1.0, 2]), torch.tensor([1.0, INF])),
    "in its own precision .* by inf": (torch.tensor([1.0]), torch.tensor([[1.0]])),
    "does not run in its own precision: no": (torch.tensor([1.0]), RuntimeError("no")),
}


@pytest.mark.parametrize("name", SAME)
def test_rounding_is_no_difference(name):
    silenced, reduced = map(Fixed, SAME[name])
    check_in_own_precision(silenced, reduced, (EXAMPLE,))


@pytest.mark.parametrize("reason", OTHER)
def test_more_than_rounding_is(reason):
    silenced, reduced = map(Fixed, OTHER[reason])
    with pytest.raises(RemovalError, match=reason):
        check_in_own_precision(silenced, reduced, (EXAMPLE,))


def test_coarser_numbers_round_more_and_float64_is_compared_elsewhere():
    for dtype, example in ((torch.bfloat16, EXAMPLE), (torch.float64, EXAMPLE.double())):
        networks = (Fixed(torch.tensor([y], dtype=dtype), dtype) for y in (1.0, 1.3))
        check_in_own_precision(*networks, (example,))

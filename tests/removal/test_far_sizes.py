"""Numbers that are the same at every size near the example's, and others at sizes, shapes and batches further off."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.removal import remove_silent
from benchmark.removal.calls import Call
from benchmark.removal.exact import RemovalError
from benchmark.removal.probes import other_shapes
from benchmark.removal.sizes import foreseen


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


class Images(nn.Module):
    """What code makes of a convolution's output, in which one channel is 1, and a convolution of one position."""

    def __init__(self, meet, *shape: int):
        super().__init__()
        torch.manual_seed(0)
        self.meet, self.first, self.last = meet, nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1)
        self.table = nn.Parameter(torch.rand(*(shape or (4,))))
        self.norm = nn.BatchNorm2d(4)
        self.first.weight.data[1], self.first.bias.data[1] = 0, 1

    def forward(self, x):
        return self.last(self.meet(self, self.first(x).relu())).mean((2, 3))


def pooled(meet):
    """At most one position at 18 × 18."""
    return lambda _, y: meet(F.avg_pool2d(y, 16, ceil_mode=True))


def normed(epsilon):
    def norm(net, y):
        n = net.norm
        return F.batch_norm(y, n.running_mean, n.running_var, n.weight, n.bias, False, 0.0, epsilon(y))

    return norm


def halved(_, y):
    z = F.max_pool2d(y, 2)
    return z * (z.shape[2] / z.shape[3])


# By name: what code makes of a layer's output, and another batch at which that is no constant any more.
FOLLOWING = {
    "a larger width than a bound": (lambda _, y: y * max(y.shape[-1], 32), noise(2, 1, 64, 64)),
    "a larger width than images have": (lambda _, y: y * max(y.shape[-1], 400), noise(1, 1, 8, 500)),
    "height over width": (halved, noise(2, 1, 8, 14)),
    "positions that are one": (pooled(lambda z: z * z.shape[3] ** -0.5), noise(2, 1, 64, 64)),
    "a code of positions that are one": (
        pooled(lambda z: z + torch.linspace(0, 1, z.shape[3], dtype=z.dtype)),
        noise(2, 1, 64, 64),
    ),
    "the batch": (lambda _, y: y * (1 + len(y) // 8), noise(9, 1, 8, 8)),
    "a large batch": (lambda _, y: y * (1 + len(y) // 32), noise(40, 1, 8, 8)),
    "a table": (lambda net, y: y * net.table[min(y.shape[-1] // 24, 3)], noise(2, 1, 64, 64)),
    "a part of a table": (lambda net, y: y * net.table.narrow(0, min(y.shape[-1] // 24, 3), 1), noise(2, 1, 64, 64)),
    "a table by index": (
        lambda net, y: y * net.table[torch.tensor([min(y.shape[-1] // 24, 3)])],
        noise(2, 1, 64, 64),
    ),
    "the square of a table": (lambda net, y: y * (net.table**2)[y.shape[-1] % 4], noise(2, 1, 9, 9)),
    "a number times a parameter less 1": (lambda net, y: y + (net.norm.eps - 1) * y.shape[-1], noise(2, 1, 9, 9)),
    "a norm's epsilon": (normed(lambda y: 1 / y.shape[-1]), noise(2, 1, 9, 9)),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_what_follows_a_size_that_is_not_near_stays(name):
    meet, other = FOLLOWING[name]
    network = Images(meet).double().eval()
    removal = remove_silent(network, noise(3, 1, 8, 8))
    assert removal.channels_left == {"first": 4}
    with torch.no_grad():
        assert torch.allclose(removal.module(other), network(other), rtol=0, atol=1e-9)


OF_PARAMETERS = {
    "less 1": (lambda net, y: y + (net.table.item() - 1) * y.shape[-1], (1,)),
    "an element of a table": (lambda net, y: y * net.table[y.shape[-1] % 4, 0], (4, 3)),
}


@pytest.mark.parametrize("name", OF_PARAMETERS)
def test_parameters_keep_their_values_where_numbers_are_read_from_them(name):
    meet, shape = OF_PARAMETERS[name]
    assert remove_silent(Images(meet, *shape).double().eval(), noise(3, 1, 8, 8)).channels_left == {"first": 4}


@pytest.mark.parametrize(
    "meet",
    [
        lambda net, y: y * net.table[2],
        lambda net, y: y * net.table.exp()[1],
        lambda net, y: y * torch.tensor(2.0),
        normed(lambda y: 1e-2),
        normed(lambda y: 1e-5),
        pooled(lambda z: 3 * z),
    ],
)
def test_what_does_not_follow_the_size_goes(meet):
    assert remove_silent(Images(meet).double().eval(), noise(3, 1, 8, 8)).channels_left == {"first": 3}


def test_strides_that_leave_one_position_of_the_example():
    class Deep(nn.Sequential):
        def forward(self, x):
            for layer in self[:-1]:
                x = layer(x).relu()
            return self[-1](x * x.shape[-1] ** -0.5).mean((2, 3))

    torch.manual_seed(0)
    layers = [nn.Conv2d(3 if i == 0 else 4, 4, 3, 2, 1) for i in range(5)]
    layers[-1].weight.data[1], layers[-1].bias.data[1] = 0, 1
    network = Deep(*layers, nn.Conv2d(4, 3, 1)).double().eval()
    assert remove_silent(network, noise(2, 3, 8, 8)).channels_left["4"] == 4


class Rows(nn.Module):
    """Linear layers on the last axis of one or two inputs, with a channel that is 1 between them."""

    def __init__(self, meet):
        super().__init__()
        torch.manual_seed(0)
        self.meet, self.first, self.last = meet, nn.Linear(3, 4), nn.Linear(4, 2)
        self.first.weight.data[1], self.first.bias.data[1] = 0, 1

    def forward(self, x, *others):
        return self.last(self.meet(self.first(x).relu(), *others)).flatten(1, -2).mean(1)


def test_channels_may_be_last():
    network = Rows(lambda y: y / y.shape[2]).double()
    assert remove_silent(network, noise(2, 6, 6, 3)).channels_left == {"first": 4}


def test_one_of_two_inputs_may_be_longer():
    network = Rows(lambda y, other: y * (y.shape[1] / other.shape[1]) + other.mean()).double()
    assert remove_silent(network, (noise(3, 5, 3), noise(3, 5, 3))).channels_left == {"first": 4}


@pytest.mark.parametrize(
    ("place", "least", "kind"), [(0, 9, "batch of 33"), (1, 7, r"size \d+×6×3"), (2, 7, r"size 6×\d+×3")]
)
def test_the_search_varies_each_axis_alone_and_the_batch(place, least, kind):
    def meet(y):
        sides = list(y.shape[1:3])
        alone = place == 0 or max(sides) != min(sides)
        return y.exp() if alone and y.shape[place] >= least else y

    with pytest.raises(RemovalError, match=kind):
        remove_silent(Rows(meet).double(), noise(2, 6, 6, 3))


def test_other_shapes_are_no_two_the_same_and_far_ones_are_small():
    shapes = [new for new, _ in other_shapes(((1, 8, 8), (5,)), most=1500)]
    assert len(set(shapes)) == len(shapes)
    assert ((1, 8, 8), (5,)) not in shapes
    assert {((1, 9, 9), (5,)), ((1, 8, 9), (5,)), ((1, 8, 8), (6,)), ((1, 32, 32), (5,))} <= set(shapes)
    assert ((1, 128, 128), (5,)) not in shapes
    assert [near for new, near in other_shapes(((8,),), most=600)] == [True] * 6 + [False] * 3


def test_what_an_element_wise_operation_gives_is_foreseen_where_there_are_no_values():
    x, number = torch.empty(2, 3, device="meta"), torch.tensor(2.0)

    def seen(function, *args):
        call = Call.of(function, args, {})
        made, result = foreseen(call), function(*args)
        assert made is None or (made.shape, made.dtype, made.device) == (result.shape, result.dtype, result.device)
        return made

    aten = torch.ops.aten
    for function, *args in ((aten.relu.default, x), (aten.mul.Tensor, x, number), (aten.add.Tensor, x, x)):
        assert seen(function, *args) is not None
    assert seen(aten.relu_.default, x) is x
    for function, *args in (
        (aten.add.Tensor, x, x[:1]),
        (aten.add.Tensor, x, x.double()),
        (aten.mul.Tensor, x, torch.tensor(2j)),
        (aten.mul.Scalar, x, 2j),
        (aten.div.Tensor, x.int(), number),
        (aten.gt.Scalar, x, 0),
        (aten.relu.default, torch.ones(2)),
    ):
        assert seen(function, *args) is None

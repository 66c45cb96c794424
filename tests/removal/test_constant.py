"""What looks constant on the example and is not: sizes, batches, aliases, hooks, patched layers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.removal import RemovalError, remove_silent
from benchmark.removal.labels import UntraceableError

VECTORS = [
    torch.randn(n, 5, generator=torch.Generator().manual_seed(n)) * scale for n in (1, 7, 64) for scale in (1, 50)
]


class Pair(nn.Module):
    """Two layers side by side, joined by a function, and a reader."""

    def __init__(self, join):
        super().__init__()
        self.a, self.b, self.h, self.join = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(4, 3), join

    def forward(self, x):
        return self.h(self.join(self, x))


def silenced(module: nn.Module, layer: nn.Module, bias: float) -> nn.Module:
    with torch.no_grad():
        layer.weight[1], layer.bias[1] = 0, bias
    return module


def assert_never_wrong(module: nn.Module, example: torch.Tensor, others: list[torch.Tensor]) -> None:
    """Refused, kept whole or equal."""
    module, example = module.double(), example.double()
    try:
        removal = remove_silent(module, example)
    except (RemovalError, UntraceableError):
        return
    silent, reduced = copy.deepcopy(module).eval(), removal.module.eval()
    for batch in (example, *others):
        with torch.no_grad():
            expected = silent(batch.double())
            assert (reduced(batch.double()) - expected).abs().max() <= 1e-9 * expected.abs().max()


def added_in_place(pair, x):
    y = pair.a(x)
    y.add_(pair.b(x))
    return F.relu(y)


def added_under_another_name(pair, x):
    y = pair.a(x)
    z = y.detach()
    y += pair.b(x)
    return F.relu(z)


def added_through_a_view(pair, x):
    y = pair.a(x)
    y.flatten(1).add_(pair.b(x))
    return F.relu(y)


def activated_in_place(pair, x):
    y = pair.a(x)
    F.relu(y, inplace=True)
    return y + pair.b(x)


JOINS = {
    "times a mean over the batch": (lambda p, x: p.b(x) * p.a(x).mean(), 0.0),
    "times the largest of the batch": (lambda p, x: p.b(x) * p.a(x).amax(), 0.0),
    "plus a mean over the batch": (lambda p, x: F.relu(p.b(x) + p.a(x).mean()), -6.0),
    "a slope computed from the batch": (lambda p, x: F.leaky_relu(p.b(x), p.a(x).mean().item()), -6.0),
    "a slope that is the batch's size": (lambda p, x: F.leaky_relu(p.b(x), 0.01 * x.shape[0]), -6.0),
    "divided by the batch's size": (lambda p, x: F.relu(p.b(x) / x.size(0)), 6.0),
    "added in place": (added_in_place, -6.0),
    "added under another name": (added_under_another_name, -6.0),
    "added through a view": (added_through_a_view, -6.0),
    "activated in place": (activated_in_place, -6.0),
}


@pytest.mark.parametrize("name", JOINS)
@pytest.mark.parametrize("layer", ["a", "b"])
def test_scalars_of_the_batch_and_writes_in_place_are_never_taken_for_constants(name, layer):
    join, bias = JOINS[name]
    torch.manual_seed(0)
    pair = Pair(join)
    assert_never_wrong(silenced(pair, getattr(pair, layer), bias), torch.randn(32, 5) / 10, VECTORS)


HOOKS = {
    "hears all units": lambda m: m[1].register_forward_pre_hook(lambda _, i: (i[0] + i[0].mean(-1, keepdim=True),)),
    "changes the output": lambda m: m[0].register_forward_hook(lambda _, i, o: o + i[0].sum(-1, keepdim=True)),
    "is patched": lambda m: setattr(
        m[0], "forward", lambda x: F.linear(x, m[0].weight.to(x), m[0].bias.to(x)) + x.mean(-1, keepdim=True)
    ),
}


@pytest.mark.parametrize("name", HOOKS)
def test_a_hooked_or_patched_layer_is_followed_by_no_rule(name):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    HOOKS[name](silenced(module, module[0], -6.0))
    assert_never_wrong(module, torch.randn(32, 5) / 10, VECTORS)


def conv(inputs: int, outputs: int, **options) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, **options)


BORDERS = {
    "depthwise": lambda: [conv(2, 2, padding=1, groups=2)],
    "dense": lambda: [conv(2, 2, padding=1)],
    "counting pool": lambda: [nn.AvgPool2d(3, 1, 1)],
    "pool with a divisor": lambda: [nn.AvgPool2d(3, 2, ceil_mode=True, divisor_override=4)],
    "two depthwise": lambda: [conv(2, 2, padding=1, groups=2), nn.ReLU(), conv(2, 2, padding=1, groups=2)],
    "circular": lambda: [conv(2, 2, padding=1, groups=2, padding_mode="circular")],
    "not counting pool": lambda: [nn.AvgPool2d(3, 1, 1, count_include_pad=False)],
}


@pytest.mark.parametrize("name", BORDERS)
@pytest.mark.parametrize("head", ["average", "largest", "saturated"])
@pytest.mark.parametrize("side", [5, 8])
def test_a_constant_that_met_zeros_at_a_border_is_none_at_another_size(name, head, side):
    torch.manual_seed(0)
    heads = {
        "average": [nn.AdaptiveAvgPool2d(1)],
        "largest": [nn.AdaptiveMaxPool2d(1)],
        "saturated": [nn.Hardtanh(-1e-3, 1e-3), nn.AdaptiveAvgPool2d(1)],
    }
    first = conv(1, 2)
    module = nn.Sequential(first, nn.ReLU(), *BORDERS[name](), *heads[head], nn.Flatten(), nn.Linear(2, 2))
    silenced(module, first, 1.0)
    others = [torch.randn(4, 1, *shape) for shape in ((16, 16), (6, 9), (side + 5, side), (5, 5))]
    assert_never_wrong(module, torch.randn(8, 1, side, side), others)
    if name in ("circular", "not counting pool"):
        assert remove_silent(module, torch.randn(8, 1, side, side).double()).channels_left["0"] == 1


def test_a_carrier_keeps_what_makes_it_when_its_layer_is_called_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.shared = nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 1)
            self.padded, self.beside, self.h = conv(3, 3, padding=1), nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            y = self.shared(torch.relu(self.shared(self.first(x))))
            return self.h(torch.relu(self.padded(torch.sigmoid(y)) + self.beside(x)))

    torch.manual_seed(0)
    module = Twice()
    with torch.no_grad():
        module.first.weight.zero_()
    removal = remove_silent(module, torch.randn(8, 1, 6, 6))
    assert removal.deviation <= 1e-12


class Cast(nn.Module):
    """A layer without a bias, a cast and a norm: a constant before the cast is not the same constant behind it."""

    def __init__(self, kind: torch.dtype):
        super().__init__()
        self.kind, self.first, self.mid = kind, nn.Linear(5, 4), nn.Linear(4, 4, bias=False)
        self.norm, self.h = nn.BatchNorm1d(4), nn.Linear(4, 3)

    def forward(self, x):
        y = self.mid(self.first(x).relu())
        return self.h(self.norm(y.to(self.kind).to(y.dtype)))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.int64, torch.float64])
def test_a_constant_is_not_put_behind_a_cast_that_rounds(kind):
    torch.manual_seed(0)
    module = Cast(kind)
    removal = remove_silent(silenced(module, module.first, 1.0), torch.randn(8, 5))
    assert removal.channels_left["first"] == 3
    assert (removal.module.mid.bias is None) == (kind == torch.float64)

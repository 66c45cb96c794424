"""Ways in which values, channels and states reach a sleeping unit unseen: refused, kept whole or exact."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.removal.exact import Removal, remove_silent
from benchmark.removal.labels import UntraceableError

VECTORS = [
    torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) * scale
    for n, scale in ((6, 1), (1, 10), (4, 1e4), (3, 1e5), (7, -1e6))
]


class Asleep(nn.Module):
    """An operation between layers, and a threshold behind it that ordinary inputs, and those searched, stay below."""

    def __init__(self, operation, bias: bool = True):
        super().__init__()
        torch.manual_seed(0)
        self.operation = operation
        self.first, self.beside = nn.Linear(3, 5), nn.Linear(3, 5)
        self.last, self.norm, self.inner = nn.Linear(5, 4, bias=bias), nn.BatchNorm1d(4), nn.BatchNorm1d(5)
        with torch.no_grad():
            self.first.weight[1], self.first.bias[1] = 0, 2
            self.norm.running_mean.normal_()

    def forward(self, x):
        y = self.operation(self, self.first(x), x)
        return F.hardshrink(y, 3e3).sum(1, keepdim=True) + x.mean(1, keepdim=True)


def checked(network: nn.Module) -> Removal:
    """The removal, once it is seen to be exact on inputs that wake the units."""
    network = network.double().eval()
    removal = remove_silent(network, VECTORS[0])
    for batch in VECTORS:
        expected = network(batch)
        assert (removal.module(batch) - expected).abs().max() <= 1e-9 * expected.abs().max()
    return removal


def in_a_thread(net, y, x):
    found = []
    thread = threading.Thread(target=lambda: found.append(x.mean()))
    thread.start()
    thread.join()
    return net.last(y * found[0])


REFUSED = {
    "tensor": lambda net, y, x: net.last(y * torch.tensor([x.mean()])),
    "as_tensor": lambda net, y, x: net.last(y * torch.as_tensor([x.mean(), x.amax()])[0]),
    "new_tensor": lambda net, y, x: net.last(y * x.new_tensor([x.mean()])),
    "__repr__": lambda net, y, x: net.last(y * len(str(x))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_leave_torch_unseen_are_refused(name):
    with pytest.raises(UntraceableError, match=rf"takes values out of torch \({name}\)"):
        remove_silent(Asleep(REFUSED[name]), VECTORS[0])


@pytest.mark.parametrize("data", [[2.0, 3.0], torch.tensor([2.0, 3.0])])
def test_tensors_that_are_made_of_numbers_are_none(data):
    network = Asleep(lambda net, y, x: net.last(y * x.new_tensor([2.0]) * torch.as_tensor(data)[1]))
    assert checked(network).channels_left["first"] == (4 if isinstance(data, list) else 5)


@torch.library.custom_op("deadweight_tests::relu", mutates_args=())
def namesake(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(-1, keepdim=True)).relu()


def put_data(net, y, x):
    y.data = y.data + x.mean(1, keepdim=True)
    return net.last(y)


WHOLE = {
    "made by an older constructor": lambda net, y, x: net.last(y * torch.DoubleTensor([x.mean()])),
    "made by another thread": in_a_thread,
    "other memory under a tensor": put_data,
    "another library's operation": lambda net, y, _: net.last(namesake(y)),
    "a complex product": lambda net, y, x: net.last((y * 1j * net.beside(x)).abs()),
    "a complex number": lambda net, y, x: net.last((y * complex(0, len(x))).abs()),
    "bits as numbers": lambda net, y, _: net.last(y.view(torch.int64).bitwise_and(-2).view(torch.float64)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_followed_by_no_rule_is_no_constant(name):
    assert checked(Asleep(WHOLE[name])).channels_left["first"] == 5


def test_a_norms_scale_that_the_code_leaves_out_makes_no_zero():
    network = Asleep(lambda net, y, _: net.last(F.batch_norm(y, net.inner.running_mean, net.inner.running_var)))
    network.inner.weight.data[2], network.inner.bias.data[2] = 0, 1
    assert checked(network).channels_left["first"] == 4


def by_hook(bias: bool) -> nn.Module:
    network = Asleep(lambda net, y, _: net.last(y), bias)
    network.last.register_forward_hook(lambda m, i, o: o.clamp(-1, 1) + F.linear(i[0], m.weight))
    return network


@pytest.mark.parametrize("bias", [True, False])
def test_a_hook_that_leaves_a_bias_out_gets_none(bias):
    assert checked(by_hook(bias)).channels_left["first"] == 5


SHIFTS = {
    "a mean is used elsewhere": (
        lambda net, y, x: net.norm(net.last(y)) + x.sum(1, keepdim=True) * net.norm.running_mean
    ),
    "a cast rounds": lambda net, y, _: net.norm(net.last(y).bfloat16().double()),
    "a bias is asked for": lambda net, y, x: net.last(y) + (100 * x if net.last.bias is None else x)[:, :1],
}


@pytest.mark.parametrize("name", SHIFTS)
def test_a_constant_goes_nowhere_else_where(name):
    checked(Asleep(SHIFTS[name], bias=False))


class Cell:
    """An object of a user's own that holds a number."""

    def __init__(self):
        self.level = 1.0


def advance(memory, x) -> None:
    if isinstance(memory, Cell):
        memory.level = 2 * memory.level
    elif isinstance(memory, dict):
        memory["level"] = 0.5 * memory["level"] + x.abs().mean()
    else:
        memory[0] = 2 * memory[0]


def level(memory):
    return memory.level if isinstance(memory, Cell) else memory["level"] if isinstance(memory, dict) else memory[0]


@pytest.mark.parametrize(
    ("memory", "name"),
    [
        ({"level": torch.ones((), dtype=torch.float64)}, "memory.level"),
        ([1.0], "memory.0"),
        (Cell(), "memory.level"),
        ([[Cell()]], "memory.0.0.level"),
    ],
)
def test_a_memory_in_a_container_is_refused(memory, name):
    def remember(net, y, x):
        own = net.memory[0][0] if isinstance(net.memory, list) and isinstance(net.memory[0], list) else net.memory
        y = net.last(y * level(own))
        advance(own, x)
        return y

    network = Asleep(remember)
    network.memory = copy.deepcopy(memory)
    with pytest.raises(UntraceableError, match=f"its forward pass changes {name}"):
        remove_silent(network, VECTORS[0])


def test_a_memory_that_is_written_in_place_is_refused():
    network = Asleep(lambda net, y, x: net.last(y * net.memory.level.add_(x.mean())))
    network.memory = Cell()
    network.memory.level = torch.ones((), dtype=torch.float64)
    with pytest.raises(UntraceableError, match="its forward pass changes a tensor of its own"):
        remove_silent(network, VECTORS[0])


def test_a_buffer_that_another_replaces_is_a_memory():
    def remember(net, y, x):
        y = net.last(y * net.level)
        net.level = net.level + x.mean()
        return y

    network = Asleep(remember)
    network.register_buffer("level", torch.ones(()))
    with pytest.raises(UntraceableError, match="its forward pass changes level"):
        remove_silent(network, VECTORS[0])


def test_a_cache_is_no_memory():
    def cached(net, y, _):
        net.cache.setdefault(y.shape[0], torch.full((), 2.0, dtype=y.dtype))
        return net.last(y * net.cache[y.shape[0]])

    network = Asleep(cached)
    network.cache, network.limit = {}, [float("nan")]
    assert checked(network).channels_left["first"] == 4

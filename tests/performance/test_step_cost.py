"""What each method's training step costs, beside the step of the loss alone with the same optimiser.

Run with `pytest tests/performance/test_step_cost.py --benchmark-only`: a group is one network with one optimiser, its
line `dense` is the measure, and the number in brackets the ratio to the group's fastest.
"""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from baselines.dense import Dense
from benchmark.method.registry import registry
from benchmark.removal.groups import Net, find_groups

BATCH = 64
WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
# Methods that only silence a trained network train it, if at all, on the loss alone.
TRAINING = sorted(
    name
    for name, kind in registry().methods.items()
    if name != "dense" and (kind.base in (None, name) or kind.trains_base)
)


def mlp() -> tuple[nn.Module, tuple[int, ...]]:
    """784–1000–10, as for MNIST."""
    layers = [nn.Flatten(), nn.Linear(784, 1000, bias=False), nn.BatchNorm1d(1000), nn.ReLU(), nn.Linear(1000, 10)]
    return nn.Sequential(*layers), (1, 28, 28)


def vgg16() -> tuple[nn.Module, tuple[int, ...]]:
    """VGG-16's convolutions with batch norm, as for CIFAR-10."""
    layers, before = [], 3
    for width in WIDTHS:
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)), (3, 32, 32)


def labels() -> list[tuple[str, str]]:
    """Method and optimiser; the dense network once for each optimiser."""
    pairs = [(name, registry().methods[name].space["optimizer"].default) for name in TRAINING]
    return [*(("dense", optimizer) for optimizer in sorted({o for _, o in pairs})), *pairs, ("l1_subgradient", "adam")]


def method_of(name: str, optimizer: str):
    generator = torch.Generator().manual_seed(0)
    if name == "dense":
        return Dense(generator, optimizer=optimizer, learning_rate=1e-3)
    form = {"form": "subgradient"} if name == "l1_subgradient" else {}
    kind = registry().methods[name.removesuffix("_subgradient")]
    return kind(generator, optimizer=optimizer, learning_rate=1e-3, **form)


@pytest.mark.parametrize(("name", "optimizer"), labels())
@pytest.mark.parametrize(("network", "rounds"), [(mlp, 60), (vgg16, 3)], ids=["mlp", "vgg16"])
def test_step(benchmark, network, rounds, name, optimizer):
    benchmark.group = f"{network.__name__}, {optimizer}"
    torch.manual_seed(0)
    module, shape = network()
    images, targets = torch.rand(BATCH, *shape), torch.arange(BATCH) % 10
    net: Net = find_groups(module, images[:2])
    method = method_of(name, optimizer)
    method.prepare(net, 1000)
    steps = method.configure_optimizer(net)
    module.train()

    def step():
        steps.zero_grad()
        cross_entropy(module(images), targets).backward()
        method.after_backward(net)
        steps.step()
        method.after_step(net, 1e-3)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        benchmark.pedantic(step, rounds=rounds, warmup_rounds=2)
    finally:
        torch.set_num_threads(threads)

"""Pruning criteria pick the channels that torch-pruning's importances pick, where both define the same criterion."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from baselines.bn_scale import BnScale
from baselines.fpgm import FPGM
from baselines.magnitude_filter import MagnitudeFilter
from baselines.network_slimming import NetworkSlimming
from baselines.taylor import Taylor
from benchmark.removal.groups import Net, find_groups
from benchmark.torchvision_import import import_torchvision

import_torchvision()
import torch_pruning as tp  # noqa: E402

IMAGES = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(60) % 4
RATIO = 0.4


def network(norm: bool) -> nn.Sequential:
    """Two convolutions of 12 and 10 channels, with or without batch norm, and an output layer."""
    torch.manual_seed(0)
    layers = []
    for before, after in ((3, 12), (12, 10)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(after)] if norm else []
        layers += [nn.ReLU()]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 4))
    for layer in module:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
    return module


def importances(net: Net, importance) -> list[torch.Tensor]:
    """What torch-pruning's importance says of every group's channels."""
    graph = tp.DependencyGraph().build_dependency(net.module, example_inputs=IMAGES[:2])
    scores = []
    for group in net.groups:
        coupled = graph.get_pruning_group(
            group.writers[0].layer, tp.prune_conv_out_channels, idxs=list(range(group.size))
        )
        scores.append(importance(coupled))
    return scores


def lowest_of(scores: torch.Tensor) -> set[int]:
    order = sorted(range(len(scores)), key=lambda k: float(scores[k]))
    return set(order[: int(RATIO * len(scores))])


def silenced(kind, net: Net) -> list[set[int]]:
    """The channels that the method silences, by group."""
    kind(torch.Generator(), ratio=RATIO).silence(net, IMAGES, LABELS)
    return [set((group.incoming_norms() == 0).nonzero().flatten().tolist()) for group in net.groups]


def joined(scores: list[torch.Tensor]) -> list[set[int]]:
    """The lowest over all groups together, by group."""
    chosen = lowest_of(torch.cat(scores))
    first = len(scores[0])
    return [{k for k in chosen if k < first}, {k - first for k in chosen if k >= first}]


def test_filter_magnitude():
    net = find_groups(network(norm=True), IMAGES)
    importance = tp.importance.MagnitudeImportance(
        p=1, group_reduction="first", normalizer=None, target_types=[nn.Conv2d]
    )
    expected = [lowest_of(scores) for scores in importances(net, importance)]
    assert silenced(MagnitudeFilter, net) == expected


@pytest.mark.parametrize("kind", [NetworkSlimming, BnScale])
def test_batch_norm_scale(kind):
    net = find_groups(network(norm=True), IMAGES)
    expected = joined(importances(net, tp.importance.BNScaleImportance(normalizer=None)))
    assert silenced(kind, net) == expected
    assert expected[0]
    assert expected[1]


def test_taylor_without_norm():
    net = find_groups(network(norm=False), IMAGES)
    cross_entropy(net.module(IMAGES), LABELS).backward()  # one batch, so the mean of squares is the square
    importance = tp.importance.GroupTaylorImportance(
        multivariable=True, group_reduction="first", normalizer=None, target_types=[nn.Conv2d]
    )
    expected = joined(importances(net, importance))
    assert silenced(Taylor, net) == expected


def test_taylor_behind_batch_norm_is_the_gradient_of_a_gate():
    module = network(norm=True)
    net = find_groups(module, IMAGES)
    gates = []

    def gate(_, __, output):
        gates.append(torch.ones(output.shape[1], requires_grad=True))
        return output * gates[-1].view(-1, 1, 1)

    hooks = [layer.register_forward_hook(gate) for layer in module if isinstance(layer, nn.BatchNorm2d)]
    module.eval()
    loss = cross_entropy(module(IMAGES), LABELS)
    expected = [gradient.square() for gradient in torch.autograd.grad(loss, gates)]
    for hook in hooks:
        hook.remove()
    module.train()
    scores = Taylor(torch.Generator()).scores(net, IMAGES, LABELS)
    assert module.training
    for mine, gated in zip(scores, expected, strict=True):
        torch.testing.assert_close(mine, gated, rtol=1e-3, atol=1e-9)


def test_geometric_median():
    module = network(norm=True)
    for layer in module:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.abs_()  # torch-pruning compares |w|, the paper w: the same criterion where w ≥ 0
    net = find_groups(module, IMAGES)
    importance = tp.importance.FPGMImportance(p=1, group_reduction="first", normalizer=None)
    expected = [lowest_of(scores) for scores in importances(net, importance)]
    assert silenced(FPGM, net) == expected


def test_geometric_median_looks_at_signs():
    module = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(256, 4))
    weight = torch.tensor([[1.0, 1, 1], [1, 1, 1], [1.1, 1, 1], [-1, -1, -1]])
    module[0].weight.data.copy_(weight.view(4, 3, 1, 1))
    net = find_groups(module, IMAGES)
    FPGM(torch.Generator(), ratio=0.75).silence(net, IMAGES, LABELS)
    assert (net.groups[0].incoming_norms() != 0).tolist() == [False, False, False, True]

"""Among which channels a method ranks, and that its paper's scope is no part of a trial's key."""

import itertools

import pytest
import torch
from torch import nn

from baselines.gradual_magnitude import GradualMagnitude
from baselines.magnitude_filter import MagnitudeFilter
from baselines.network_slimming import NetworkSlimming
from baselines.random_filter import RandomFilter
from benchmark.method import pools
from benchmark.method.registry import registry
from benchmark.removal.groups import Net, find_groups
from tests.methods.test_methods import make, train

IMAGES = torch.rand(48, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
PAPERS = {
    "bn_scale": "global", "fpgm": "layer", "gradual_magnitude": "layer", "group_norm_sparsity": "global",
    "growing_reg": "layer", "hesso": "global", "magnitude_filter": "layer", "network_slimming": "global",
    "obd_channel": "global", "random_filter": "layer", "taylor": "global",
}  # fmt: skip


@pytest.fixture
def net() -> Net:
    """Groups of 10, 8, 6 and 12 channels: two read by a convolution, one by a dense layer, one made by one."""
    torch.manual_seed(0)
    layers = []
    for before, after in ((2, 10), (10, 8), (8, 6)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(216, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)]
    module = nn.Sequential(*layers).double()
    for layer in module:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.2, 1.5)
    return find_groups(module, IMAGES)


POOLS = {"global": [[0, 1, 2, 3]], "layer": [[0], [1], [2], [3]], "isomorphic": [[0, 1], [2], [3]]}


@pytest.mark.parametrize("scope", POOLS)
def test_channels_are_ranked_within_the_scope(net, scope):
    assert pools(net, scope) == POOLS[scope]
    norms = [group.incoming_norms(p=1).tolist() for group in net.groups]
    make(MagnitudeFilter, ratio=0.4, scope=scope).silence(net, IMAGES, torch.zeros(48))
    expected = set()
    for pool in POOLS[scope]:
        ranked = sorted((norms[i][k], i, k) for i in pool for k in range(len(norms[i])))
        expected |= {(i, k) for _, i, k in ranked[: int(0.4 * len(ranked))]}
    found = {(i, k) for i, g in enumerate(net.groups) for k in (g.incoming_norms() == 0).nonzero().flatten().tolist()}
    assert found == expected


def test_slimming_by_layer_leaves_what_its_paper_has_on_mnist():
    """80 % of each of two layers of 500 and 300, where one ranking of both may empty a layer."""
    layers = [nn.Flatten(), nn.Linear(72, 500, bias=False), nn.BatchNorm1d(500), nn.ReLU()]
    layers += [nn.Linear(500, 300, bias=False), nn.BatchNorm1d(300), nn.ReLU(), nn.Linear(300, 3)]
    module = nn.Sequential(*layers).double()
    module[5].weight.data *= 1e-3
    net = find_groups(module, IMAGES)
    make(NetworkSlimming, ratio=0.8, scope="layer").silence(net, IMAGES, torch.zeros(48))
    assert [(group.incoming_norms() > 0).sum().item() for group in net.groups] == [100, 60]


@pytest.mark.parametrize(("scope", "counts"), [("layer", [4, 3, 2, 4]), ("global", None), ("isomorphic", None)])
def test_random_channels_are_as_many_as_the_scope_asks_for(net, scope, counts):
    make(RandomFilter, ratio=0.4, scope=scope).silence(net, IMAGES, torch.zeros(48))
    gone = [(group.incoming_norms() == 0).sum().item() for group in net.groups]
    assert [sum(gone[i] for i in pool) for pool in POOLS[scope]] == [
        int(0.4 * sum(net.groups[i].size for i in pool)) for pool in POOLS[scope]
    ]
    assert counts is None or gone == counts


@pytest.mark.parametrize("scope", POOLS)
def test_gradual_magnitude_ends_with_the_scopes_count_and_what_is_silent_stays_so(net, scope):
    method, gone = make(GradualMagnitude, ratio=0.5, scope=scope, learning_rate=0.01), []
    step = method.after_step

    def watched(net, lr):
        step(net, lr)
        gone.append({(i, k) for i, doomed in enumerate(method.doomed) for k in doomed.nonzero().flatten().tolist()})

    method.after_step = watched
    train(net, method, 20)
    assert all(before <= after for before, after in itertools.pairwise(gone))
    for pool in POOLS[scope]:
        dead = sum((net.groups[i].incoming_norms() == 0).sum().item() for i in pool)
        assert dead == int(0.5 * sum(net.groups[i].size for i in pool))


def test_every_method_that_ranks_has_its_papers_scope_and_no_other_has_one():
    found = {n: kind.space["scope"].default for n, kind in registry().methods.items() if "scope" in kind.space}
    assert found == PAPERS


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_scope_is_no_part_of_a_key_and_another_is(name):
    kind = registry().methods[name]
    assert kind.validate({"scope": PAPERS[name]}) == kind.validate({})
    assert "scope" not in kind.validate({})
    assert kind(torch.Generator()).scope == PAPERS[name]
    assert kind.validate({"scope": "isomorphic"})["scope"] == "isomorphic"
    assert kind(torch.Generator(), **kind.validate({"scope": "isomorphic"})).scope == "isomorphic"
    with pytest.raises(ValueError, match="scope = 'locally' is not one of global, layer, isomorphic"):
        kind.validate({"scope": "locally"})

"""Exact removal, on random networks against an oracle and on the structures that make it hard."""

from __future__ import annotations

import copy

import pytest
import torch
import torch_pruning
from hypothesis import HealthCheck, assume, given, settings
from torch import nn

from benchmark.networks.build import build
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups
from tests.support.oracle import Oracle
from tests.support.random_networks import Built, networks


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def deviation(reduced: nn.Module, silenced: nn.Module, batch: torch.Tensor) -> float:
    with torch.no_grad():
        expected = silenced(batch)
        return ((reduced(batch) - expected).abs().max() / expected.abs().max().clamp(min=1e-300)).item()


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random statistics, scales, shifts and biases, in float64 and evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        for name, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            if tensor.dim() == 1:
                values = torch.randn(tensor.shape, generator=generator)
                tensor.data.copy_(values.abs() + 0.5 if name in ("weight", "running_var") else values)
    return module.double().eval()


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_random_networks_are_reduced_exactly_and_completely(built: Built):
    network = built.network.train()
    network.layers[next(iter(built.reads))].eval()
    modes = [m.training for m in network.modules()]
    state, seed = copy.deepcopy(network.state_dict()), torch.get_rng_state()

    removal = remove_silent(network, built.batch)

    assert removal.deviation <= 1e-9
    assert [m.training for m in network.modules()] == [m.training for m in removal.module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), seed)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    fresh = torch.randn(7, *built.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert deviation(removal.module.eval(), network.eval(), 3 * fresh) <= 1e-9
    assert sum(removal.channels.values()) == len(built.hidden)
    assert not removal.kept_whole

    oracle = Oracle(built)
    assume(not oracle.stuck)
    left, fewest = sum(removal.channels_left.values()), oracle.fewest_left()
    if oracle.shares_groups(removal.module.layers):  # chosen by weights, not by channels: test_packing.py
        assert left >= len(built.hidden) - len(oracle.dead())
    elif built.has_grouped_readers and oracle.needed_sets(oracle.dead()):
        assert left >= fewest  # which channel keeps grouped convolutions alike is chosen greedily
    else:
        assert left == fewest


def silence_half(net, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for group in net.groups:
        group.zero_incoming(torch.randperm(group.size, generator=generator) < group.size // 2)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.outer = (nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 4), (4, 3), (3, 4)))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x).relu()
        x = (x + self.outer(self.inner(x).relu())).relu()
        return self.head(x.mean((2, 3)))


def test_channels_that_only_feed_each_other_go_together():
    network = Residual().double()
    with torch.no_grad():
        network.head.weight[:, 0] = 0
        network.inner.weight[1:, 0] = 0  # stream channel 0 is read by inner channel 0 alone,
        network.outer.weight[1:, 0] = 0  # which writes to stream channel 0 alone
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left == {"stem": 3, "inner": 2}


def test_a_stream_channel_stays_while_one_writer_lives():
    network = Residual().double()
    with torch.no_grad():
        network.stem.weight[0] = 0
    assert remove_silent(network, torch.randn(3, 1, 6, 6)).channels_left["stem"] == 4


def test_a_branch_behind_zero_scales_gives_its_inner_channels_up():
    class Branch(Residual):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            x = self.stem(x).relu()
            return self.head((x + self.norm(self.outer(self.inner(x).relu()))).mean((2, 3)))

    network = Branch().double()
    with torch.no_grad():
        network.norm.weight.zero_()
        network.norm.bias.fill_(0.3)
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left == {"stem": 4, "inner": 1}
    assert removal.collapsed


def test_one_carrier_serves_a_padded_reader():
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.Sigmoid(), nn.Conv2d(6, 2, 3, padding=1), nn.Flatten(), nn.Linear(32, 2)
    )
    with torch.no_grad():
        network[0].weight[:4] = 0
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left["0"] == 3
    assert removal.deviation <= 1e-12


def test_an_unpadded_reader_needs_no_carrier_and_no_new_bias():
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.Sigmoid(), nn.Conv2d(6, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Flatten(),
        nn.Linear(8, 2),
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight[:4] = 0
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left["0"] == 2
    assert removal.module[2].bias is None
    assert not torch.equal(removal.module[3].running_mean, network[3].running_mean)


def test_the_border_of_a_padded_depthwise_convolution_is_not_folded():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.Sigmoid(), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 2, 1), nn.Flatten(),
        nn.Linear(72, 2),
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight[:2] = 0
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left["0"] == 4
    assert removal.deviation == 0


def test_flattened_positions_are_folded_one_by_one():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.Sigmoid(), nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(64, 2)
    )
    with torch.no_grad():
        network[0].weight[:2] = 0
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left["0"] == 2
    assert removal.deviation <= 1e-12


def test_positions_behind_a_border_are_not_folded_since_images_of_another_shape_have_as_many():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.Sigmoid(), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Flatten(), nn.Linear(144, 2)
    )
    with torch.no_grad():
        network[0].weight[:2] = 0
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left["0"] == 4
    images = torch.randn(3, 1, 4, 9)
    assert torch.equal(removal.module(images), network(images))


def test_a_grouped_convolution_loses_a_whole_group():
    network = nn.Sequential(
        nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)
    )
    with torch.no_grad():
        network[0].weight[2:4], network[2].weight[2:4] = 0, 0
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left == {"0": 6, "2": 6}
    assert removal.module[2].groups == 3


def test_a_grouped_convolution_shrinks_as_far_as_its_groups_are_alike():
    network = nn.Sequential(
        nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)
    )
    with torch.no_grad():
        network[0].weight[[0, 1, 5]] = 0
    removal = remove_silent(network, torch.randn(3, 1, 6, 6))
    assert removal.channels_left == {"0": 6, "2": 8}
    assert removal.module[2].groups == 2


def test_a_network_with_everything_silent_keeps_one_channel_per_layer_and_its_constant_output():
    network = build("lenet5", (1, 28, 28), 10, seed=0).eval()
    images = torch.randn(4, 1, 28, 28)
    net = find_groups(network, images)
    for group in net.groups:
        group.zero_incoming(torch.ones(group.size, dtype=torch.bool))
    removal = remove_silent(network, images)
    assert removal.collapsed
    assert set(removal.channels_left.values()) == {1}
    assert torch.allclose(removal.module(images), network(images), atol=1e-6)


def test_removing_again_removes_nothing():
    network = randomise(build("resnet20", (3, 32, 32), 10, seed=0, widths=(8,)))
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    silence_half(find_groups(network, images))
    once = remove_silent(network, images)
    twice = remove_silent(once.module, images)
    assert sum(once.channels_left.values()) < sum(once.channels.values())
    assert once.channels_left == twice.channels == twice.channels_left


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_torch_pruning_alone_changes_the_logits_where_silent_channels_emit_constants(shift, record_property, capsys):
    """The same channels removed by torch-pruning, which slices layers and hands nothing over: exact only for β = 0."""
    generator = torch.Generator().manual_seed(0)
    network = build("vgg11", (3, 32, 32), 10, seed=0, widths=(8,)).double().eval()
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.bias.data.normal_(generator=generator).mul_(shift)
            layer.momentum = 1.0
    images = torch.randn(4, 3, 32, 32, generator=generator, dtype=torch.float64)
    doomed = {group.name: torch.arange(group.size) % 2 == 0 for group in find_groups(network, images).groups}
    for group in find_groups(network, images).groups:
        group.zero_incoming(doomed[group.name])
    with torch.no_grad():
        network.train()(images)  # statistics that fit, so that the logits depend on the images
        assert (network.eval()(images).std(0) > 0.01).all()

    ours = deviation(remove_silent(network, images).module, network, images)
    pruned = copy.deepcopy(network)
    graph = torch_pruning.DependencyGraph().build_dependency(pruned, example_inputs=images)
    for name, mask in doomed.items():
        channels = mask.nonzero().flatten().tolist()
        prune = torch_pruning.prune_conv_out_channels
        graph.get_pruning_group(pruned.get_submodule(name), prune, idxs=channels).prune()
    theirs = deviation(pruned.eval(), network, images)

    record_property("torch_pruning_deviation", theirs)
    with capsys.disabled():
        print(f"\n|Δlogit| / |logit|, vgg11, half silent, β ~ N(0, {shift:g}): {ours:.1e}, torch-pruning {theirs:.2g}")
    assert ours <= 1e-9
    assert theirs <= 1e-9 if shift == 0 else theirs > 0.01

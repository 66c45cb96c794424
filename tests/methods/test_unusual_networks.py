"""Methods on networks that couple channels otherwise than a chain of layers does."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from baselines.bn_scale import BnScale
from baselines.cges import CGES
from baselines.d_gating import DGating
from baselines.fpgm import distances
from baselines.group_norm_sparsity import GroupNormSparsity
from baselines.growing_reg import GrowingReg
from baselines.hard_concrete import HardConcrete
from baselines.hesso import HESSO
from baselines.network_slimming import NetworkSlimming
from baselines.proximal_adam import ProximalAdam
from baselines.scratch import Scratch
from baselines.taylor import Taylor
from baselines.vibnet import VIBNet
from benchmark.method import Method, incoming_rows, lowest, write_incoming_rows
from benchmark.removal.groups import ChannelGroup, Net, Site, find_groups

VECTORS = torch.rand(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
IMAGES = torch.rand(4, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Gated(nn.Module):
    """Each of four channels is written twice by one layer: its halves are multiplied."""

    def __init__(self):
        super().__init__()
        self.halves, self.head = nn.Linear(5, 8), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.halves(x).chunk(2, dim=1)
        return self.head(torch.relu(left * right))


class Joined(nn.Module):
    """Two layers of 6 and 4 channels behind one batch norm, read by one layer; the second's input is 2 wide."""

    def __init__(self):
        super().__init__()
        self.wide, self.thin = nn.Linear(5, 6), nn.Linear(2, 4)
        self.norm, self.head = nn.BatchNorm1d(10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(torch.cat([self.wide(x), self.thin(x[:, :2])], 1))))


def build(kind, example: Tensor = VECTORS) -> Net:
    torch.manual_seed(0)
    return find_groups(kind().double(), example)


def make(kind: type[Method], **hyperparameters) -> Method:
    return kind(torch.Generator().manual_seed(0), **hyperparameters)


def test_rows_hold_all_that_writes_a_channel_and_can_be_written_back():
    net = build(Gated)
    (group,) = net.groups
    weight = net.module.halves.weight
    rows = incoming_rows(group)
    assert torch.equal(rows, torch.cat([weight[:4], weight[4:]], 1))
    write_incoming_rows(group, 2 * rows)
    assert torch.equal(torch.cat([weight[:4], weight[4:]], 1), 2 * rows)
    assert group.fan_in.tolist() == [10] * 4


def test_a_penalty_of_zero_changes_no_weight_that_is_coupled_with_another():
    net = build(Gated)
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    method = make(CGES, strength=0.0)
    method.prepare(net, 1)
    method.after_step(net, 0.1)
    assert all(torch.equal(before[name], value) for name, value in net.module.state_dict().items())


def test_distances_are_over_both_halves():
    net = build(Gated)
    before = distances(net.groups[0])
    net.module.halves.weight.data[0] += 1
    assert (distances(net.groups[0]) - before).abs().min() > 1e-3


def test_each_channel_counts_its_own_weights():
    wide, thin = build(Joined).groups
    assert (wide.fan_in.tolist(), thin.fan_in.tolist()) == ([5] * 6, [2] * 4)

    class Stream(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.third = nn.Linear(5, 2), nn.Linear(3, 2), nn.Linear(4, 4)
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(torch.cat([self.first(x), self.second(x[:, :3])], 1) + self.third(x[:, :4])))

    (stream,) = build(Stream).groups
    assert sorted(stream.fan_in.tolist()) == [3 + 4, 3 + 4, 5 + 4, 5 + 4]


def test_the_proximal_step_leaves_rows_alone_that_make_no_channel_of_the_group():
    module = nn.ModuleDict({"both": nn.Linear(5, 6)}).double()
    half = torch.arange(3)
    net = Net(module, [ChannelGroup("half", 3, (Site("both", module["both"], 0, half, half),), (), ())])
    method = make(ProximalAdam, strength=0.5, optimizer="adam")
    optimizer = method.configure_optimizer(net)
    cross_entropy(module["both"](VECTORS), torch.arange(8) % 6).backward()
    optimizer.step()
    before = module["both"].weight.clone()
    method.after_step(net, 0.1)
    assert torch.equal(module["both"].weight[3:], before[3:])
    assert (module["both"].weight[:3] != before[:3]).any()


def test_slimming_takes_each_scale_once_however_many_groups_its_norm_spans():
    net, method = build(Joined), make(NetworkSlimming, strength=0.3)
    method.prepare(net, 1)
    net.module.norm.weight.grad = torch.zeros(10, dtype=torch.float64)
    method.after_backward(net)
    assert torch.allclose(net.module.norm.weight.grad, torch.full((10,), 0.3, dtype=torch.float64))


def test_slimming_keeps_the_scales_that_a_checkpoint_has_trained():
    net = build(Joined)
    trained = nn.init.uniform_(net.module.norm.weight).clone()
    make(NetworkSlimming).prepare(net, 1)
    assert torch.equal(net.module.norm.weight, trained)


def test_criteria_of_scales_refuse_a_group_without_a_norm_and_slimming_before_it_trains():
    net = build(Gated)
    with pytest.raises(ValueError, match="no batch norm, so its channels have no scale"):
        make(NetworkSlimming).prepare(net, 1)
    with pytest.raises(ValueError, match="no batch norm, so its channels have no scale"):
        make(BnScale).silence(net, VECTORS, torch.arange(8) % 3)


def test_a_channel_scale_is_the_mean_over_the_norms_on_it():
    class Stream(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.first_norm = nn.Linear(5, 4), nn.BatchNorm1d(4)
            self.second, self.second_norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            stream = torch.relu(self.first_norm(self.first(x)))
            return self.head(torch.relu(stream + self.second_norm(self.second(stream))))

    net = build(Stream)
    for norm in (net.module.first_norm, net.module.second_norm):
        nn.init.normal_(norm.weight)
    (group,) = net.groups
    mean = (net.module.first_norm.weight.abs() + net.module.second_norm.weight.abs()) / 2
    assert torch.allclose(group.scales(), mean)


def test_scratch_scales_a_reader_once_by_all_its_inputs():
    net = build(Joined)
    before = net.module.head.weight.clone()
    make(Scratch, left="2-3").prepare(net, 1)
    torch.testing.assert_close(net.module.head.weight, before * (10 / 5) ** 0.5, rtol=1e-6, atol=0)


@pytest.mark.parametrize("depth", ["2", "3", "4"])
def test_gates_of_a_channel_that_starts_at_zero_are_finite(depth):
    torch.manual_seed(0)
    module = Joined()
    module.wide.weight.data[1] = 0
    net, method = find_groups(module, VECTORS.float()), make(DGating, depth=depth)
    before = module.wide.weight.clone()
    method.prepare(net, 1)
    method.after_step(net, 0.1)
    torch.testing.assert_close(module.wide.weight, before)


class Tokens(nn.Module):
    """A linear layer on 9 tokens, as many as it has channels."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(2, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(x.flatten(2).transpose(1, 2)[:, :9]))).mean(1)


def test_noise_lies_on_channels_where_a_linear_layer_reads_tokens():
    net, method = build(Tokens, IMAGES), make(VIBNet)
    method.prepare(net, 1)
    with torch.no_grad():
        method.gates[0][1][:4] = 9.0  # as much noise as closes these gates
        net.module.eval()
        tested = net.module(IMAGES)
        method.silence(net, IMAGES, torch.arange(4) % 3)
        torch.testing.assert_close(net.module(IMAGES), tested)
    assert (net.groups[0].incoming_norms() == 0).tolist() == [True] * 4 + [False] * 5


class Idle(nn.Module):
    """One layer is frozen, and another is not used."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 6), nn.Linear(6, 4), nn.Linear(4, 3)
        self.idle = nn.Linear(2, 2)
        self.second.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


@pytest.mark.parametrize("kind", [Taylor, HESSO, GroupNormSparsity, GrowingReg])
def test_frozen_and_unused_layers_do_not_stop_a_method(kind):
    net, method, labels = build(Idle), make(kind, ratio=0.5), torch.arange(8) % 3
    method.prepare(net, 4)
    optimizer = method.configure_optimizer(net)
    for _ in range(4):
        optimizer.zero_grad()
        cross_entropy(net.module(VECTORS), labels).backward()
        method.after_backward(net)
        optimizer.step()
        method.after_step(net, 0.1)
    method.silence(net, VECTORS, labels)
    assert (net.incoming_norms() == 0).sum() == 5


def test_a_norm_without_scales_is_none_of_a_group():
    def plain() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, affine=False), nn.ReLU(), nn.Linear(6, 3))

    (group,) = build(plain).groups
    assert group.norms == ()
    group.silence(torch.arange(6) < 2)
    assert (group.incoming_norms() == 0).tolist() == [True] * 2 + [False] * 4


def test_gates_before_layers_refuse_a_layer_that_reads_two_groups():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.head = nn.Linear(5, 4), nn.Linear(5, 6), nn.Linear(10, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(torch.cat([self.left(x), self.right(x)], 1)))

    with pytest.raises(ValueError, match="whose layers each read one group"):
        make(HardConcrete, place="before").prepare(build(Two), 10)


def test_a_share_is_not_cut_short_by_rounding():
    assert lowest(torch.arange(90.0), 0.7).sum() == 63  # 0.7 · 90 is 62.99… in floats
    assert lowest(torch.arange(90.0), 0.699).sum() == 62

"""What methods do to single features, and L0 as its paper has it, against independent computations."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from baselines.group_lasso import GroupLasso
from baselines.hard_concrete import HardConcrete, deterministic_gates
from baselines.magnitude_weight import MagnitudeWeight
from baselines.ssl import SSL
from baselines.vibnet import VIBNet
from benchmark.networks.features import feature_groups
from benchmark.removal.groups import Net, find_groups
from tests.methods.test_methods import IMAGES, LABELS, make, plain, train


def convolutional() -> nn.Sequential:
    """Two convolutions, whose 6 × 4 positions a dense layer reads, and two dense layers; without norm."""
    layers = [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(24, 7), nn.ReLU(), nn.Linear(7, 3))


@pytest.fixture(params=[plain, convolutional])
def net(request) -> Net:
    torch.manual_seed(0)
    module = request.param().double()
    found = find_groups(module, IMAGES)
    found.features = feature_groups(module)
    return found


def test_l0_before_dense_layers_has_the_gradients_of_its_objective(net):
    """Gates on what dense layers read and on what convolutions make, λ on each weight, and L2 where a gate is open."""
    strength, decay = 1e-3, 0.05
    method = make(HardConcrete, strength=strength, decay=decay, place="before", averaging=0.9)
    method.prepare(net, 10)
    optimizer = method.configure_optimizer(net)
    for logits in method.logits:
        nn.init.normal_(logits, 0.5)
    noise = torch.Generator()
    noise.set_state(method.generator.get_state())
    method.after_step(net, 0.0)
    optimizer.zero_grad()
    cross_entropy(net.module(IMAGES), LABELS).backward()
    method.after_backward(net)

    values, leaves, price = {}, [], 0
    names = {id(parameter): name for name, parameter in net.module.named_parameters()}
    for group, logits, gated in zip(method.groups, method.logits, method.gated, strict=True):
        u = torch.rand(group.size, generator=noise).clamp(1e-6, 1 - 1e-6).double()
        log_alpha = logits.detach().clone().requires_grad_()
        leaves.append((logits, log_alpha))
        z = (torch.sigmoid((u.log() - (1 - u).log() + log_alpha) / (2 / 3)) * 1.2 - 0.1).clamp(0, 1)
        alive = torch.sigmoid(log_alpha - 2 / 3 * math.log(0.1 / 1.1))
        for site, parameter, ungated in gated:
            copy = ungated.detach().clone().requires_grad_()
            leaves.append((ungated, copy))
            by_column = site.dim == 1  # what a dense layer reads; else what a convolution makes
            shape = (1, -1) if by_column else (-1, *[1] * (copy.dim() - 1))
            values[names[id(parameter)]] = copy * z.view(shape)
            if copy.dim() > 1:
                rows = (copy.t() if by_column else copy.flatten(1)).square()
                price = price + (alive * (strength * rows.shape[1] + decay / 2 * rows.sum(1))).sum()
    (cross_entropy(functional_call(net.module, values, IMAGES), LABELS) + price).backward()
    assert len(values) == len(net.weights) + sum(weight.dim() == 4 for weight in net.weights)
    for mine, real in leaves:
        torch.testing.assert_close(mine.grad, real.grad, rtol=1e-5, atol=1e-9)


def test_l0_starts_inputs_at_a_drop_rate_of_a_fifth_and_all_else_at_a_half(net):
    method = make(HardConcrete, place="before")
    method.prepare(net, 10)
    rates = {group.name: (1 - torch.sigmoid(logits)).unique().tolist() for group, logits in zip(
        method.groups, method.logits, strict=True)}  # fmt: skip
    assert {name: pytest.approx([0.2 if name == "inputs" else 0.5]) for name in rates} == rates
    assert len(rates) == len(net.groups) + 1


def test_l0_keeps_and_tests_the_mean_of_its_steps(net):
    method = make(HardConcrete, place="before", averaging=0.8, learning_rate=0.1, strength=0.01)
    method.prepare(net, 6)
    optimizer = method.configure_optimizer(net)
    seen = []
    for step in range(6):
        optimizer.zero_grad()
        cross_entropy(net.module(IMAGES), LABELS).backward()
        method.after_backward(net)
        optimizer.step()
        seen.append([parameter.detach().clone() for parameter in method.trained])
        method.after_step(net, 0.1)
        shares = torch.tensor([0.8**age for age in range(step, -1, -1)], dtype=torch.float64)
        means = [torch.tensordot(shares / shares.sum(), torch.stack(p), 1) for p in zip(*seen, strict=True)]
        before = [parameter.detach().clone() for parameter in (*net.module.parameters(), *method.trained)]
        with method.tested(net):
            for mine, mean in zip(method.trained, means, strict=True):
                torch.testing.assert_close(mine.detach(), mean)
            assert_gated(method)
        after = [*net.module.parameters(), *method.trained]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert_gated(method)
    for mine, mean in zip(method.trained, means, strict=True):
        torch.testing.assert_close(mine.detach(), mean)


def assert_gated(method):
    """The network's parameters are the method's own under the gates of the test."""
    for logits, gated in zip(method.logits, method.gated, strict=True):
        gates = deterministic_gates(logits.detach())
        for site, parameter, ungated in gated:
            shape = (1, -1) if site.dim == 1 else (-1, *[1] * (parameter.dim() - 1))
            torch.testing.assert_close(parameter.detach(), (ungated * gates.view(shape)).detach())


def test_l0_silences_single_features_and_channels_whose_gates_are_shut(net):
    method = make(HardConcrete, place="before", averaging=0.5)
    method.prepare(net, 1)
    method.configure_optimizer(net)
    for logits in method.logits:
        logits.data[::2] = -3.0
    method.after_step(net, 0.0)
    method.silence(net, IMAGES, LABELS)
    shut = {group.name: deterministic_gates(x) == 0 for group, x in zip(method.groups, method.logits, strict=True)}
    (features,) = net.features
    assert 0 < shut[features.name].sum() < features.size
    assert torch.equal(features.outgoing_norms() == 0, shut[features.name])
    for group in net.groups:
        assert (group.incoming_norms()[shut[group.name]] == 0).all()


def test_l0_before_dense_layers_refuses_a_norm():
    net = find_groups(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)), torch.rand(8, 4))
    with pytest.raises(ValueError, match='place = "before" is for networks without norm'):
        make(HardConcrete, place="before").prepare(net, 10)


def test_vibnet_gates_single_features_and_leaves_the_network_that_it_tests(net):
    method = make(VIBNet, strength=1e-3, learning_rate=0.01)
    train(net, method, 20)
    assert len(method.gates) == len(net.groups) + 1
    means, logs = method.gates[-1]
    logs.data[::2] = 2.0
    net.module.eval()
    with torch.no_grad():
        before = net.module(IMAGES)
        method.silence(net, IMAGES, LABELS)
        torch.testing.assert_close(net.module(IMAGES), before, rtol=1e-9, atol=1e-12)
    (features,) = net.features
    assert torch.equal(features.outgoing_norms() == 0, logs.detach().exp() >= means.detach() ** 2)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.module.modules())


def test_vibnet_pays_for_features_and_draws_a_gate_for_every_sample(net):
    method = make(VIBNet, strength=1.0)
    method.prepare(net, 10)
    logs = method.gates[-1][1]
    expected = sum(0.5 * torch.log1p(m**2 / s.exp()).sum() for m, s in method.gates).item()
    assert method.penalty(net).item() == pytest.approx(expected, rel=1e-4)
    for others, spreads in method.gates[:-1]:
        others.data.fill_(1)
        spreads.data.fill_(-60)
    logs.data.fill_(0)
    same = IMAGES[:1].expand(8, -1, -1, -1)
    assert len(net.module(same).unique(dim=0)) == 8
    net.module.eval()
    assert len(net.module(same).unique(dim=0)) == 1


@pytest.mark.parametrize(("kind", "sized"), [(GroupLasso, True), (SSL, False)])
def test_group_lassos_take_features_by_the_weights_that_read_them(net, kind, sized):
    strength, rate = 0.01, 0.05
    method = make(kind, strength=strength, learning_rate=rate)
    (features,) = net.features
    layer = features.readers[0].layer
    step = rate / (1 - 0.9) * strength
    rows = layer.weight.detach().clone()
    price = step * (rows.shape[1] ** 0.5 if sized else 1)
    rows *= (1 - price / rows.norm(dim=1, keepdim=True)).clamp_min(0)
    price = step * (rows.shape[0] ** 0.5 if sized else 1)
    rows *= (1 - price / rows.norm(dim=0, keepdim=True)).clamp_min(0)
    method.after_step(net, rate)
    torch.testing.assert_close(layer.weight.detach(), rows)


def test_iterative_magnitude_decays_only_where_a_study_says_so(net):
    assert "decay" not in MagnitudeWeight.validate({})
    for decay, expected in ((None, 0.0), (0.01, 0.01)):
        given = {} if decay is None else {"decay": decay}
        assert make(MagnitudeWeight, **given).configure_optimizer(net).param_groups[0]["weight_decay"] == expected

"""Closed-form gradients against autograd, factorised methods against real factors, and what each method promises."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from baselines import (
    gradual_magnitude,
    group_norm_sparsity,
    growing_reg,
    l1,
    magnitude_weight,
    network_slimming,
)
from benchmark.method import OPTIMIZERS, Method
from benchmark.method.registry import registry
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import Net, find_groups
from methods.implicit import Implicit

IMAGES = torch.rand(48, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(48) % 3
NAMES = sorted(registry().methods)


class Residual(nn.Module):
    """A stream that two convolutions write, each with its batch norm, and a branch of its own width."""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.inner, self.inner_norm = nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.outer, self.outer_norm = nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        stream = torch.relu(self.stem_norm(self.stem(x)))
        branch = torch.relu(self.inner_norm(self.inner(stream)))
        stream = torch.relu(stream + self.outer_norm(self.outer(branch)))
        return self.head(stream.mean((2, 3)))


def plain() -> nn.Module:
    """Two hidden layers without norm, with biases."""
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def build(kind, dtype: torch.dtype = torch.float64) -> Net:
    torch.manual_seed(0)
    module = kind().to(dtype)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.2, 1.5)
        nn.init.normal_(norm.bias)
    return find_groups(module, IMAGES.to(dtype))


def make(kind: type[Method], **hyperparameters) -> Method:
    return kind(torch.Generator().manual_seed(0), **hyperparameters)


def train(net: Net, method: Method, steps: int) -> torch.optim.Optimizer:
    """Full-batch training with the method's hooks."""
    images = IMAGES.to(net.weights[0].dtype)
    method.prepare(net, steps)
    optimizer = method.configure_optimizer(net)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = cross_entropy(net.module(images), LABELS)
        penalty = method.penalty(net)
        (loss if penalty is None else loss + penalty).backward()
        method.after_backward(net)
        optimizer.step()
        method.after_step(net, optimizer.param_groups[0]["lr"])
    return optimizer


def added_gradient(net: Net, method: Method) -> dict[str, Tensor]:
    """What the method adds to a gradient of zero, by parameter."""
    for parameter in net.module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    method.after_backward(net)
    return {name: parameter.grad.clone() for name, parameter in net.module.named_parameters()}


def assert_gradient_of(penalty: Tensor, net: Net, added: dict[str, Tensor]) -> None:
    """The added gradient is that of `penalty`, and not zero throughout."""
    names, parameters = zip(*net.module.named_parameters(), strict=True)
    expected = torch.autograd.grad(penalty, parameters, allow_unused=True, materialize_grads=True)
    assert any(gradient.abs().max() > 1e-6 for gradient in expected)
    for name, gradient in zip(names, expected, strict=True):
        torch.testing.assert_close(added[name], gradient, rtol=1e-10, atol=1e-12, msg=f"gradient of {name}")


def test_l1_adds_its_subgradient(net):
    added = added_gradient(net, make(l1.L1, form="subgradient", strength=0.3))
    assert_gradient_of(0.3 * sum(weight.abs().sum() for weight in net.weights), net, added)


def test_network_slimming_adds_the_subgradient_of_its_scales():
    net, method = build(Residual), make(network_slimming.NetworkSlimming, strength=0.3)
    norms = [m.weight for m in net.module.modules() if isinstance(m, nn.BatchNorm2d)]
    for scale in norms:
        nn.init.ones_(scale)
    method.prepare(net, 1)
    assert all((scale == 0.5).all() for scale in norms)
    added = added_gradient(net, method)
    assert_gradient_of(0.3 * sum(scale.abs().sum() for scale in norms), net, added)


def test_growing_reg_adds_the_gradient_of_a_growing_l2_on_doomed_channels(net):
    method = make(growing_reg.GrowingReg, ratio=0.5)
    method.prepare(net, 8)
    added_gradient(net, method)
    added = added_gradient(net, method)  # the second of the four steps of growth: λ = 1/2
    penalty = 0
    for group, doomed in zip(net.groups, method.doomed, strict=True):
        assert doomed.sum() == group.size // 2
        assert group.incoming_norms(p=1)[doomed].max() < group.incoming_norms(p=1)[~doomed].min()
        for site in (*group.writers, *group.norms):
            chosen = site.positions[doomed[site.channels]]
            for parameter in (site.layer.weight, site.layer.bias):
                if parameter is not None:
                    penalty = penalty + 0.5 / 2 * parameter[chosen].square().sum()
        for site in group.readers:
            chosen = site.positions[doomed[site.channels]]
            penalty = penalty + 0.5 / 2 * site.layer.weight[:, chosen].square().sum()
    assert_gradient_of(penalty, net, added)
    for _ in range(6):
        added_gradient(net, method)
    assert method.strength == growing_reg.CEILING


def test_growing_reg_leaves_its_doomed_channels_dead_before_they_are_silenced(net):
    method = make(growing_reg.GrowingReg, ratio=0.5, learning_rate=0.02)
    train(net, method, 400)
    net.module.eval()
    with torch.no_grad():
        before = net.module(IMAGES)
        method.silence(net, IMAGES, LABELS)
        torch.testing.assert_close(net.module(IMAGES), before, rtol=1e-6, atol=1e-6)
    assert any(doomed.any() for doomed in method.doomed)


def test_group_norm_sparsity_adds_the_gradient_of_its_weighted_l2(net):
    added = added_gradient(net, make(group_norm_sparsity.GroupNormSparsity, strength=0.3))
    penalty = 0
    for group in net.groups:
        squares = torch.zeros(group.size, dtype=torch.float64)
        for site in (*group.writers, *group.norms, *group.readers):
            weight = site.layer.weight if site.layer.weight.dim() > 1 else site.layer.weight[:, None]
            part = weight.movedim(site.dim, 0).flatten(1).square().sum(1)[site.positions]
            squares = squares.index_add(0, site.channels, part)
        norms = squares.detach().sqrt()
        exponents = 4 * (norms.max() - norms) / (norms.max() - norms.min())
        penalty = penalty + 0.3 / 2 * (2**exponents * squares).sum()
    assert_gradient_of(penalty, net, added)


def test_gradual_magnitude_follows_the_cubic_schedule(net):
    method = make(gradual_magnitude.GradualMagnitude, ratio=0.75)
    method.prepare(net, 40)
    seen = []
    for _ in range(40):
        method.after_step(net, 0.1)
        seen.append((net.groups[0].incoming_norms() == 0).sum().item())
    size = net.groups[0].size
    expected = [int(0.75 * (1 - (1 - min(t / 30, 1)) ** 3) * size) for t in range(1, 41)]
    assert seen == expected
    assert seen[-1] == int(0.75 * size) > 0


def test_magnitude_weight_zeroes_the_ratio_below_one_multiple_of_every_layers_deviation(net):
    deviations = [weight.std().item() for weight in net.weights]
    before = [weight.detach().clone() for weight in net.weights]
    make(magnitude_weight.MagnitudeWeight, ratio=0.4).silence(net, IMAGES, LABELS)
    total = sum(weight.numel() for weight in before)
    assert sum((weight == 0).sum().item() for weight in net.weights) == int(0.4 * total)
    relative = [old.abs() / deviation for old, deviation in zip(before, deviations, strict=True)]
    gone = [r[weight == 0].max() for r, weight in zip(relative, net.weights, strict=True)]
    kept = [r[weight != 0].min() for r, weight in zip(relative, net.weights, strict=True)]
    assert max(gone) <= min(kept)


def test_magnitude_weight_prunes_in_rounds_of_equal_shares_and_zeros_stay(net):
    method = make(magnitude_weight.MagnitudeWeight, ratio=0.8, learning_rate=0.05)
    total, left, after_step = sum(weight.numel() for weight in net.weights), [], method.after_step

    def watched(net, lr):
        after_step(net, lr)
        left.append(sum(torch.count_nonzero(weight).item() for weight in net.weights))

    method.after_step = watched
    train(net, method, 30)
    method.silence(net, IMAGES, LABELS)
    left.append(sum(torch.count_nonzero(weight).item() for weight in net.weights))
    rounds = [total - int((1 - 0.2 ** (number / 4)) * total) for number in (1, 2, 3, 4)]
    assert left == [rounds[0]] * 9 + [rounds[1]] * 10 + [rounds[2]] * 11 + [rounds[3]]


def test_no_weight_decays_unless_a_method_says_so():
    net = build(Residual)
    for name in OPTIMIZERS:
        method = make(Implicit, optimizer=name)
        assert method.build_optimizer(net.module.parameters()).defaults["weight_decay"] == 0
        assert method.build_optimizer(net.module.parameters(), weight_decay=0.1).defaults["weight_decay"] == 0.1


def test_network_slimming_decays_all_parameters():
    net = build(Residual)
    groups = make(network_slimming.NetworkSlimming).configure_optimizer(net).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [
        (1e-4, len(list(net.module.parameters())))
    ]


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_implicit_runs_and_shrinks_with_every_optimiser(optimizer):
    norms = []
    for strength in (0.0, 1.0):
        net = build(Residual)
        rate = 1.0 if optimizer == "adadelta" else 0.01
        train(net, make(Implicit, strength=strength, optimizer=optimizer, learning_rate=rate), 60)
        norms.append(net.incoming_norms().sum().item())
    assert math.isfinite(norms[1])
    assert norms[1] < 0.95 * norms[0]


def test_adamw_decouples_the_decay():
    shrunk = {}
    for optimizer in ("adam", "adamw"):
        net = build(Residual)
        before = net.module.stem.weight.detach().clone()
        method = make(Implicit, strength=0.5, optimizer=optimizer, learning_rate=0.01)
        optimizer_object = method.configure_optimizer(net)
        net.module.stem.weight.grad = torch.zeros_like(before)
        optimizer_object.step()
        shrunk[optimizer] = (net.module.stem.weight.detach() / before).mean().item()
    assert shrunk["adamw"] == pytest.approx(1 - 0.01 * 0.5, abs=1e-9)
    assert shrunk["adam"] < 0.9  # a step of the learning rate, whatever λ is


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [Residual, plain])
def test_every_method_silences_a_network_that_can_be_reduced_exactly(name, kind):
    method_class = registry().methods[name]
    needs_norms = name in ("implicit_scale", "network_slimming", "bn_scale")
    net = build(kind, torch.float32)
    images = IMAGES.float()
    knob = method_class.knob
    strongest = {knob: 0.5 if knob == "ratio" else method_class.space[knob].grid[-1]} if knob else {}
    method = make(method_class, **strongest)
    if needs_norms and kind is plain:
        with pytest.raises(ValueError, match="no batch norm"):
            method.silence(net, images, LABELS)
        return
    if method_class.space:  # else it never trains
        train(net, method, 12)
    statistics = {name: buffer.clone() for name, buffer in net.module.named_buffers()}
    method.silence(net, images, LABELS)
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in net.module.named_buffers())
    assert all(torch.isfinite(parameter).all() for parameter in net.module.parameters())
    removal = remove_silent(net.module, images)
    assert removal.deviation < 1e-6
    if knob == "ratio" and name != "magnitude_weight":
        removed = sum(removal.channels.values()) - sum(removal.channels_left.values())
        assert removed == 7 - removal.collapsed  # half of 14, and a group that loses all keeps one


@pytest.mark.parametrize("name", NAMES)
def test_every_method_does_the_same_where_channels_lie_last_in_memory(name):
    method_class = registry().methods[name]
    values = {method_class.knob: 0.5 if method_class.knob == "ratio" else 0.01} if method_class.knob else {}
    nets = [build(Residual), build(Residual)]
    nets[1].module.to(memory_format=torch.channels_last)
    assert not nets[1].module.stem.weight.is_contiguous()
    for net in nets:
        method = make(method_class, **values)
        if method_class.space:  # else it never trains
            train(net, method, 8)
        method.silence(net, IMAGES, LABELS)
    for (key, one), other in zip(nets[0].module.named_parameters(), nets[1].module.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}")
    assert nets[1].module.stem.weight.is_contiguous(memory_format=torch.channels_last)

"""Methods that train factors or gates, against modules that have them as parameters."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

from baselines import (
    d_gating,
    hard_concrete,
    spred,
)
from benchmark.method import OPTIMIZERS
from tests.methods.test_methods import (
    IMAGES,
    LABELS,
    Residual,
    build,
    make,
    plain,
    train,
)


class Gated(nn.Module):
    """w = ω · product of the gates, by row."""

    def __init__(self, gates: nn.Parameter):
        super().__init__()
        self.gates = gates

    def forward(self, core: Tensor) -> Tensor:
        return core * self.gates.prod(0).view(-1, *[1] * (core.dim() - 1))


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("depth", [2, 3])
def test_d_gating_equals_a_reparametrised_module(net, depth, optimizer):
    strength, rate = 0.05, 0.01
    kind = type(net.module) if isinstance(net.module, Residual) else plain
    other = build(kind)
    gates = []
    for group in other.groups:
        roots = group.incoming_norms() ** (1 / depth)
        gates.append(nn.Parameter(roots.repeat(depth - 1, 1)))
        for site in group.writers:
            with torch.no_grad():
                site.layer.weight.div_((roots ** (depth - 1)).view(-1, *[1] * (site.layer.weight.dim() - 1)))
            parametrize.register_parametrization(site.layer, "weight", Gated(gates[-1]), unsafe=True)
    cores = [site.layer.parametrizations.weight.original for group in other.groups for site in group.writers]
    factors = [*gates, *cores]
    chosen = {id(factor) for factor in factors}
    others = [parameter for parameter in other.module.parameters() if id(parameter) not in chosen]
    kind, options = OPTIMIZERS[optimizer]
    decay = {"params": factors, "weight_decay": 2 * strength / depth}
    reference = kind([decay, {"params": others}], lr=rate, **options)
    for _ in range(20):
        reference.zero_grad()
        cross_entropy(other.module(IMAGES), LABELS).backward()
        reference.step()
    train(net, make(d_gating.DGating, strength=strength, depth=str(depth), learning_rate=rate, optimizer=optimizer), 20)
    with torch.no_grad():
        torch.testing.assert_close(net.module(IMAGES), other.module(IMAGES), rtol=1e-9, atol=1e-9)
        for mine, real in zip(net.groups, other.groups, strict=True):
            for site, twin in zip(mine.writers, real.writers, strict=True):
                torch.testing.assert_close(site.layer.weight, twin.layer.weight, rtol=1e-9, atol=1e-9)


class Product(nn.Module):
    """w = u ⊙ v."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.other = nn.Parameter(torch.ones_like(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.other


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_spred_equals_a_reparametrised_module(net, optimizer):
    strength, rate = 0.05, 0.01
    other = build(type(net.module) if isinstance(net.module, Residual) else plain)
    layers = [m for m in other.module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", Product(layer.weight))
    factors = [p for layer in layers for p in layer.parametrizations.parameters()]
    chosen = {id(factor) for factor in factors}
    others = [parameter for parameter in other.module.parameters() if id(parameter) not in chosen]
    kind, options = OPTIMIZERS[optimizer]
    reference = kind([{"params": factors, "weight_decay": strength}, {"params": others}], lr=rate, **options)
    for _ in range(20):
        reference.zero_grad()
        cross_entropy(other.module(IMAGES), LABELS).backward()
        reference.step()
    train(net, make(spred.Spred, strength=strength, learning_rate=rate, optimizer=optimizer), 20)
    with torch.no_grad():
        for weight, layer in zip(net.weights, layers, strict=True):
            torch.testing.assert_close(weight, layer.weight, rtol=1e-9, atol=1e-9)


def test_hard_concrete_has_the_gradients_of_its_objective(net):
    strength = 1e-3
    method = make(hard_concrete.HardConcrete, strength=strength)
    method.prepare(net, 10)
    for logits in method.logits:
        nn.init.normal_(logits, 0.5)
    twin = make(hard_concrete.HardConcrete, strength=strength)  # its generator draws what the method's will
    twin.generator.set_state(method.generator.get_state())
    optimizer = method.configure_optimizer(net)
    with torch.no_grad():
        method.left += 1
        method.after_step(net, 0.0)
    optimizer.zero_grad()
    cross_entropy(net.module(IMAGES), LABELS).backward()
    method.after_backward(net)

    names = {id(parameter): name for name, parameter in net.module.named_parameters()}
    parameters, leaves, penalty = {}, [], 0
    for group, logits, gated in zip(net.groups, method.logits, method.gated, strict=True):
        u = torch.rand(group.size, generator=twin.generator).clamp(1e-6, 1 - 1e-6).double()
        log_alpha = logits.detach().clone().requires_grad_()
        s = torch.sigmoid((u.log() - (1 - u).log() + log_alpha) / (2 / 3))
        z = (s * 1.2 - 0.1).clamp(0, 1)
        kept = torch.sigmoid(log_alpha - 2 / 3 * math.log(0.1 / 1.1))
        penalty = penalty + strength * (group.fan_in * kept).sum()
        leaves.append((logits, log_alpha))
        for site, parameter, ungated in gated:
            copy = ungated.detach().clone().requires_grad_()
            leaves.append((ungated, copy))
            spread = torch.ones(len(parameter), dtype=torch.float64).index_put((site.positions,), z[site.channels])
            parameters[names[id(parameter)]] = copy * spread.view(-1, *[1] * (copy.dim() - 1))
    (cross_entropy(functional_call(net.module, parameters, IMAGES), LABELS) + penalty).backward()
    for mine, real in leaves:
        torch.testing.assert_close(mine.grad, real.grad, rtol=1e-5, atol=1e-8)


def test_hard_concrete_ends_with_its_deterministic_gates(net):
    method = make(hard_concrete.HardConcrete, strength=0.05, learning_rate=0.3)
    train(net, method, 30)
    before = {name: parameter.clone() for name, parameter in net.module.state_dict().items()}
    method.silence(net, IMAGES, LABELS)
    silent = sum((hard_concrete.deterministic_gates(logits) == 0).sum().item() for logits in method.logits)
    assert silent > 0
    for name, parameter in net.module.state_dict().items():
        changed = parameter != before[name]
        assert (parameter[changed] == 0).all()
    for group, logits, gated in zip(net.groups, method.logits, method.gated, strict=True):
        gates = hard_concrete.deterministic_gates(logits)
        for site, parameter, ungated in gated:
            assert len(site.positions) == group.size
            spread = torch.empty_like(gates).index_put((site.positions,), gates[site.channels])
            expected = ungated * spread.view(-1, *[1] * (ungated.dim() - 1))
            torch.testing.assert_close(parameter, expected, rtol=1e-6, atol=0)


def test_hard_concrete_ends_its_training_under_the_gates_of_the_test():
    net = build(Residual)
    method = make(hard_concrete.HardConcrete, strength=1e-3, learning_rate=0.05)
    train(net, method, 400)
    logits = [logits.detach().clone() for logits in method.logits]
    assert all(slope is None for _, slope in method.drawn)
    net.module.eval()
    with torch.no_grad():
        tested = cross_entropy(net.module(IMAGES), LABELS)
        net.module.train()
        trained = cross_entropy(net.module(IMAGES), LABELS)
    torch.testing.assert_close(tested, trained, rtol=0.1, atol=0.01)  # the running statistics are this network's
    train_on = method.configure_optimizer(net)
    cross_entropy(net.module(IMAGES), LABELS).backward()
    method.after_backward(net)
    train_on.step()
    assert all(torch.equal(old, new) for old, new in zip(logits, method.logits, strict=True))

"""Decays and factorisations that reach zero: against closed forms, stationary points and real reparametrisations."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

from baselines.dwf import DWF
from baselines.p_weight_decay import PWeightDecay
from baselines.rewa import ReWA
from benchmark.method import OPTIMIZERS
from tests.methods.test_convex import SAMPLES, method_of, solve
from tests.methods.test_convex import problem as problem  # a fixture
from tests.methods.test_methods import IMAGES, LABELS, Residual, build, plain, train

RATES = {"sgd": 0.1, "momentum": 0.01, "nesterov": 0.01}
STRENGTH = 0.1


def assert_stationary(weights: np.ndarray, problem, penalty) -> None:
    """The loss's and the penalty's gradients cancel in every weight that lives, and some have died."""
    inputs, targets = problem
    found = torch.from_numpy(weights).requires_grad_()
    alive = found.detach().abs() > 1e-3
    assert 0.1 < alive.double().mean() < 0.9
    loss = (targets - inputs @ found).square().sum() / (2 * SAMPLES)
    (loss + penalty(found[alive].abs())).backward()
    assert found.grad[alive].abs().max() < 1e-5
    assert found[~alive].abs().max() < 1e-6


@pytest.mark.parametrize("optimizer", RATES)
@pytest.mark.parametrize(("order", "exponent"), [(9, 2), (5, 2), (3, 2)])
def test_rewa_rests_where_its_lp_penalty_is_stationary(problem, optimizer, order, exponent):
    hyperparameters = {"order": order, "exponent": exponent, "learning_rate": RATES[optimizer] / 2}
    method = method_of(ReWA, strength=STRENGTH, optimizer=optimizer, **hyperparameters)
    power = (order + 1 - exponent) / order
    weights = solve(method, problem, 6000)
    assert_stationary(weights, problem, lambda lengths: STRENGTH / power * (lengths**power).sum())


@pytest.mark.parametrize("optimizer", RATES)
@pytest.mark.parametrize("power", [0.5, 0.8, 1.0])
def test_p_weight_decay_rests_where_its_penalty_is_stationary(problem, optimizer, power):
    method = method_of(
        PWeightDecay, strength=STRENGTH, power=power, optimizer=optimizer, learning_rate=RATES[optimizer]
    )
    weights = solve(method, problem, 3000)
    assert_stationary(weights, problem, lambda lengths: STRENGTH * (lengths**power).sum())


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
@pytest.mark.parametrize("power", [0.8, 2.0])
def test_p_weight_decay_takes_the_minimiser_of_the_bound_in_the_old_weight(optimizer, power):
    net, twin = build(Residual), build(Residual)
    method = method_of(PWeightDecay, strength=0.3, power=power, optimizer=optimizer, learning_rate=0.01)
    method.prepare(net, 3)
    mine, plainly = method.configure_optimizer(net), method.build_optimizer(twin.module.parameters())
    size = 0.01 if optimizer == "adam" else 0.1
    for _ in range(3):
        old = [weight.detach().clone() for weight in net.weights]
        for module, optimizer_object in ((net.module, mine), (twin.module, plainly)):
            optimizer_object.zero_grad()
            cross_entropy(module(IMAGES), LABELS).backward()
            optimizer_object.step()
        method.after_step(net, 0.01)
        for weight, moved, before in zip(net.weights, twin.weights, old, strict=True):
            u = weight.detach().clone().requires_grad_()
            bound = power / 2 * u**2 * before.abs() ** (power - 2)
            (0.5 * (u - moved.detach()) ** 2 + size * 0.3 * bound).sum().backward()
            assert u.grad.abs().max() < 1e-9 * (1 + bound.abs().max().item())
            moved.data.copy_(weight)


def test_p_weight_decay_of_a_small_weight_ends_at_zero_itself():
    net = build(plain, torch.float32)
    method = method_of(PWeightDecay, strength=3.0, learning_rate=0.01)
    train(net, method, 300)
    assert all((weight == 0).any() for weight in net.weights)
    assert all(torch.isfinite(weight).all() for weight in net.weights)


class Power(nn.Module):
    """x = sgn(y) |y|^K."""

    def __init__(self, order: int):
        super().__init__()
        self.order = order

    def forward(self, root: Tensor) -> Tensor:
        return root.sign() * root.abs() ** self.order


class Product(nn.Module):
    """W = the product of all factors, the first of them the parametrised weight."""

    def __init__(self, weight: Tensor, depth: int):
        super().__init__()
        self.others = nn.ParameterList([torch.ones_like(weight) for _ in range(depth - 1)])

    def forward(self, weight: Tensor) -> Tensor:
        for factor in self.others:
            weight = weight * factor
        return weight


@pytest.fixture(params=[Residual, plain], ids=["residual", "plain"])
def kind(request):
    return request.param


def reparametrised(kind, parametrisation, start=lambda weight: weight):
    """The network with a parametrisation on all its layers; the parameters of these, and the others."""
    module = build(kind).module
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers:
        layer.weight.data = start(layer.weight.data)
        parametrize.register_parametrization(layer, "weight", parametrisation(layer.weight))
    factors = [p for layer in layers for p in layer.parametrizations.parameters()]
    chosen = {id(factor) for factor in factors}
    return module, layers, factors, [p for p in module.parameters() if id(p) not in chosen]


def assert_same_weights(net, layers) -> None:
    with torch.no_grad():
        for weight, layer in zip(net.weights, layers, strict=True):
            torch.testing.assert_close(weight, layer.weight, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("depth", [3, 4])
def test_dwf_equals_a_reparametrised_module(kind, depth, optimizer):
    module, layers, factors, others = reparametrised(kind, lambda weight: Product(weight, depth))
    maker, options = OPTIMIZERS[optimizer]
    reference = maker([{"params": factors, "weight_decay": 0.1 / depth}, {"params": others}], lr=0.01, **options)
    for _ in range(20):
        reference.zero_grad()
        cross_entropy(module(IMAGES), LABELS).backward()
        reference.step()
    net = build(kind)
    train(net, method_of(DWF, strength=0.05, depth=str(depth), learning_rate=0.01, optimizer=optimizer), 20)
    assert_same_weights(net, layers)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_rewa_is_descent_on_the_roots_with_the_gradient_over_their_slope(kind, epsilon, optimizer):
    root = lambda weight: weight.sign() * weight.abs() ** (1 / 5)  # noqa: E731
    module, layers, factors, others = reparametrised(kind, lambda weight: Power(5), root)
    maker, options = OPTIMIZERS[optimizer]
    reference = maker(
        [{"params": factors, "weight_decay": 0.05}, {"params": others, "weight_decay": 0}], lr=0.01, **options
    )
    for _ in range(20):
        reference.zero_grad()
        cross_entropy(module(IMAGES), LABELS).backward()
        for factor in factors:
            slope = 5 * factor.detach().abs() ** 4
            factor.grad *= factor.detach().abs() ** 2 / (slope + epsilon)  # the chain rule has the slope already
        reference.step()
    net = build(kind)
    hyperparameters = {"order": 5, "exponent": 2, "epsilon": epsilon, "learning_rate": 0.01, "optimizer": optimizer}
    train(net, method_of(ReWA, strength=0.05, **hyperparameters), 20)
    assert_same_weights(net, layers)


@pytest.mark.parametrize("depth", ["3", "4"])
def test_dwf_rests_where_its_lp_penalty_is_stationary(problem, depth):
    method = method_of(DWF, strength=STRENGTH, depth=depth, optimizer="momentum", learning_rate=0.01)
    weights = solve(method, problem, 8000)
    assert_stationary(weights, problem, lambda lengths: STRENGTH * (lengths ** (2 / int(depth))).sum())

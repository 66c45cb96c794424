"""On a convex least-squares problem every convex penalty reaches its solution, with every optimiser on offer.

The solutions are scikit-learn's, or SciPy's where scikit-learn has none: a method's λ is the λ of its objective.
"""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import Lasso, MultiTaskLasso
from torch import Tensor, nn

from baselines.cges import CGES
from baselines.d_gating import DGating
from baselines.group_lasso import GroupLasso
from baselines.l1 import L1
from baselines.proximal_adam import ProximalAdam
from baselines.sparse_group_lasso import SparseGroupLasso
from baselines.spred import Spred
from baselines.ssl import SSL
from benchmark.method import Method
from benchmark.removal.groups import ChannelGroup, Net, Site

SAMPLES, FEATURES, TARGETS = 60, 12, 3
STRENGTH = 0.15


@pytest.fixture(scope="module")
def problem() -> tuple[Tensor, Tensor]:
    """Inputs and targets that a third of the features explain."""
    random = np.random.default_rng(0)
    inputs = random.standard_normal((SAMPLES, FEATURES))
    truth = random.standard_normal((FEATURES, TARGETS)) * (np.arange(FEATURES) % 3 == 0)[:, None]
    targets = inputs @ truth + 0.1 * random.standard_normal((SAMPLES, TARGETS))
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def solve(method: Method, problem: tuple[Tensor, Tensor], steps: int, decay: float = 1.0) -> np.ndarray:
    """The features × targets matrix W that the method finds for ‖Y − XW‖² / 2n; each row of W is a group."""
    inputs, targets = problem
    torch.manual_seed(0)
    layer = nn.Linear(TARGETS, FEATURES, bias=False).double()
    everyone = torch.arange(FEATURES)
    net = Net(layer, [ChannelGroup("", FEATURES, (Site("", layer, 0, everyone, everyone),), (), ())])
    gram, moment = inputs.T @ inputs / SAMPLES, inputs.T @ targets / SAMPLES
    method.prepare(net, steps)
    optimizer = method.configure_optimizer(net)
    for _ in range(steps):
        layer.weight.grad = gram @ layer.weight.detach() - moment
        method.after_backward(net)
        optimizer.step()
        method.after_step(net, optimizer.param_groups[0]["lr"])
        for group in optimizer.param_groups:
            group["lr"] *= decay
    return layer.weight.detach().numpy()


def method_of(kind: type[Method], **hyperparameters) -> Method:
    return kind(torch.Generator(), **hyperparameters)


@pytest.fixture(scope="module")
def lasso(problem) -> np.ndarray:
    inputs, targets = (part.numpy() for part in problem)
    found = Lasso(alpha=STRENGTH, fit_intercept=False, tol=1e-12, max_iter=100000).fit(inputs, targets)
    assert 0.3 < (found.coef_ == 0).mean() < 0.9, "the problem must have zero and nonzero weights"
    return found.coef_.T


@pytest.fixture(scope="module")
def group_lasso(problem) -> np.ndarray:
    inputs, targets = (part.numpy() for part in problem)
    found = MultiTaskLasso(alpha=STRENGTH, fit_intercept=False, tol=1e-12, max_iter=100000).fit(inputs, targets)
    zero = (found.coef_.T == 0).all(1)
    assert 3 <= zero.sum() <= 9, "the problem must have zero and nonzero groups"
    return found.coef_.T


RATES = {"sgd": 0.2, "momentum": 0.02, "nesterov": 0.02}


def test_proximal_methods_offer_the_optimisers_that_are_tested_here():
    for kind in (GroupLasso, SparseGroupLasso, CGES, SSL):
        assert set(kind.space["optimizer"].options) == set(RATES)
    for kind in (L1, Spred, DGating):
        assert set(kind.space["optimizer"].options) == {*RATES, "adam"}


@pytest.mark.parametrize("optimizer", RATES)
def test_l1_reaches_the_lasso(problem, lasso, optimizer):
    found = solve(method_of(L1, strength=STRENGTH, optimizer=optimizer, learning_rate=RATES[optimizer]), problem, 1500)
    np.testing.assert_allclose(found, lasso, atol=1e-8)
    np.testing.assert_array_equal(found == 0, lasso == 0)


def test_l1_with_adam_reaches_the_lasso(problem, lasso):
    found = solve(method_of(L1, strength=STRENGTH, optimizer="adam", learning_rate=0.02), problem, 3000, decay=0.998)
    np.testing.assert_allclose(found, lasso, atol=1e-4)
    np.testing.assert_array_equal(found == 0, lasso == 0)


@pytest.mark.parametrize("optimizer", [*RATES, "adam"])
def test_l1_by_its_subgradient_reaches_the_lasso_but_no_zero(problem, lasso, optimizer):
    rate = 0.2 if optimizer == "sgd" else 0.02
    method = method_of(L1, strength=STRENGTH, form="subgradient", optimizer=optimizer, learning_rate=rate)
    found = solve(method, problem, 3000, decay=0.997)
    np.testing.assert_allclose(found, lasso, atol=1e-3)
    assert not (found == 0).any()


@pytest.mark.parametrize("optimizer", [*RATES, "adam"])
def test_spred_reaches_the_lasso(problem, lasso, optimizer):
    rate = 0.1 if optimizer == "sgd" else 0.02
    method = method_of(Spred, strength=STRENGTH, optimizer=optimizer, learning_rate=rate)
    found = solve(method, problem, 8000, decay=0.999 if optimizer == "adam" else 1)
    np.testing.assert_allclose(found, lasso, atol=1e-4 if optimizer == "adam" else 1e-6)


@pytest.mark.parametrize("optimizer", RATES)
@pytest.mark.parametrize("kind", [GroupLasso, SSL])
def test_group_lasso_and_ssl_reach_the_group_lasso(problem, group_lasso, kind, optimizer):
    strength = STRENGTH / TARGETS**0.5 if kind is GroupLasso else STRENGTH  # its factor √|g|
    method = method_of(kind, strength=strength, optimizer=optimizer, learning_rate=RATES[optimizer])
    found = solve(method, problem, 1500)
    np.testing.assert_allclose(found, group_lasso, atol=1e-8)
    np.testing.assert_array_equal(found == 0, group_lasso == 0)


def numerical(problem: tuple[Tensor, Tensor], one: float, two: float, exclusive: float) -> np.ndarray:
    """The minimiser of loss + Σ_g one ‖w_g‖₁ + two ‖w_g‖₂ + (exclusive / 2) ‖w_g‖₁², W as a difference of parts ≥ 0."""
    inputs, targets = problem

    def objective(parts: np.ndarray) -> tuple[float, np.ndarray]:
        halves = torch.tensor(parts, requires_grad=True)
        positive, negative = halves.view(2, FEATURES, TARGETS)
        weights, lengths = positive - negative, (positive + negative).sum(1)
        loss = (targets - inputs @ weights).square().sum() / (2 * SAMPLES)
        norms = (weights.square().sum(1) + 1e-16).sqrt()
        value = loss + one * lengths.sum() + two * norms.sum() + exclusive / 2 * lengths.square().sum()
        value.backward()
        return value.item(), halves.grad.numpy()

    start = np.full(2 * FEATURES * TARGETS, 0.1)
    options = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-16, "gtol": 1e-12}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start), options=options)
    positive, negative = found.x.reshape(2, FEATURES, TARGETS)
    return positive - negative


@pytest.fixture(scope="module")
def sparse_group_lasso(problem) -> np.ndarray:
    return numerical(problem, one=STRENGTH, two=STRENGTH * TARGETS**0.5, exclusive=0)


@pytest.fixture(scope="module")
def cges(problem) -> np.ndarray:
    return numerical(problem, one=0, two=0.4 * 0.7, exclusive=0.4 * 0.3)


@pytest.mark.parametrize("optimizer", RATES)
def test_sparse_group_lasso_reaches_its_solution(problem, sparse_group_lasso, optimizer):
    method = method_of(SparseGroupLasso, strength=STRENGTH, optimizer=optimizer, learning_rate=RATES[optimizer])
    found = solve(method, problem, 1500)
    assert (found == 0).all(1).any()
    assert ((found == 0) & (found != 0).any(1)[:, None]).any(), "the problem must have zeros in living groups"
    np.testing.assert_allclose(found, sparse_group_lasso, atol=2e-5)


@pytest.mark.parametrize("optimizer", RATES)
def test_cges_reaches_its_solution(problem, cges, optimizer):
    method = method_of(CGES, strength=0.4, least_share=0.3, optimizer=optimizer, learning_rate=RATES[optimizer])
    found = solve(method, problem, 1500)
    assert (found == 0).all(1).any()
    assert ((found == 0) & (found != 0).any(1)[:, None]).any(), "the problem must have zeros in living groups"
    np.testing.assert_allclose(found, cges, atol=1e-3)  # as near as L-BFGS comes; the prox itself is tested closer


def test_proximal_adam_reaches_the_group_lasso(problem, group_lasso):
    method = method_of(ProximalAdam, strength=STRENGTH / TARGETS**0.5, learning_rate=0.02)
    found = solve(method, problem, 3000, decay=0.998)
    np.testing.assert_allclose(found, group_lasso, atol=1e-4)
    np.testing.assert_array_equal(found == 0, group_lasso == 0)


@pytest.mark.parametrize("optimizer", [*RATES, "adam"])
def test_d_gating_of_depth_two_reaches_the_group_lasso(problem, group_lasso, optimizer):
    rate = 0.1 if optimizer == "sgd" else 0.02
    method = method_of(DGating, strength=STRENGTH, optimizer=optimizer, learning_rate=rate)
    found = solve(method, problem, 8000, decay=0.999 if optimizer == "adam" else 1)
    np.testing.assert_allclose(found, group_lasso, atol=1e-4 if optimizer == "adam" else 1e-6)


def test_d_gating_of_depth_three_is_stationary_for_its_own_penalty(problem):
    method = method_of(DGating, strength=STRENGTH, depth="3", optimizer="momentum", learning_rate=0.02)
    weights = torch.from_numpy(solve(method, problem, 8000))
    alive = weights.norm(dim=1) > 1e-3
    assert 0 < alive.sum() < FEATURES
    weights.requires_grad_()
    inputs, targets = problem
    loss = (targets - inputs @ weights).square().sum() / (2 * SAMPLES)
    (loss + STRENGTH * (weights.norm(dim=1)[alive] ** (2 / 3)).sum()).backward()
    assert weights.grad[alive].abs().max() < 1e-6

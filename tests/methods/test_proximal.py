"""Proximal steps against a numerical minimiser of what they minimise."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from baselines.cges import CGES, combined_shrink
from baselines.proximal_adam import metric_shrink
from baselines.sparse_group_lasso import SparseGroupLasso
from benchmark.method import lowest, shrink, soft_threshold
from benchmark.removal.groups import ChannelGroup, Net, Site

COLUMNS = (5, 3)  # incoming weights per channel from the first and the second writer
AMOUNTS = (0.05, 0.6, 1.5, 6.0)


@pytest.fixture
def net() -> Net:
    """Six channels that two layers write, the second in reverse order; one of them starts near zero."""
    torch.manual_seed(0)
    module = nn.ModuleDict(
        {"first": nn.Linear(COLUMNS[0], 6, bias=False), "second": nn.Linear(COLUMNS[1], 6, bias=False)}
    )
    module.double()
    for layer, small in ((module["first"], 0), (module["second"], 5)):
        nn.init.normal_(layer.weight)
        layer.weight.data[small] *= 1e-3
    order = torch.arange(6)
    first, second = (
        Site("first", module["first"], 0, order, order),
        Site("second", module["second"], 0, order, order.flip(0)),
    )
    return Net(module, [ChannelGroup("first", 6, (first, second), (), ())])


def channels(group: ChannelGroup) -> Tensor:
    """Every channel's incoming weights from all its writers, channels × weights."""
    parts = []
    for site in group.writers:
        part = torch.empty_like(site.layer.weight)
        part[site.channels] = site.layer.weight.detach()[site.positions]
        parts.append(part)
    return torch.cat(parts, 1)


def numerical_prox(point: Tensor, one: float = 0, two: float = 0, exclusive: float = 0, metric=None) -> Tensor:
    """The minimiser over u of ½ Σ D (u − w)² + one ‖u‖₁ + two ‖u‖₂ + (exclusive / 2) ‖u‖₁² for a vector w.

    u is split into positive and negative part, which makes ‖u‖₁ smooth.
    """
    metric = torch.ones_like(point) if metric is None else metric

    def objective(parts: np.ndarray) -> tuple[float, np.ndarray]:
        halves = torch.tensor(parts, requires_grad=True)
        positive, negative = halves.chunk(2)
        u, length = positive - negative, halves.sum()
        norm = (u.square().sum() + 1e-18).sqrt()
        value = 0.5 * (metric * (u - point) ** 2).sum() + one * length + two * norm + exclusive / 2 * length**2
        value.backward()
        return value.item(), halves.grad.numpy()

    start = torch.cat([point.clamp_min(0), -point.clamp_max(0)]).numpy()
    options = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-16, "gtol": 1e-12}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start), options=options)
    positive, negative = torch.tensor(found.x).chunk(2)
    return positive - negative


def assert_rows(actual: Tensor, expected: list[Tensor]) -> None:
    torch.testing.assert_close(actual, torch.stack(expected), rtol=0, atol=2e-5)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_soft_threshold_is_the_prox_of_l1(net, amount):
    before = channels(net.groups[0])
    soft_threshold(net.weights, amount)
    after = channels(net.groups[0])
    assert_rows(after, [numerical_prox(row, one=amount) for row in before])
    assert torch.equal(after == 0, before.abs() <= amount)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_shrink_is_the_prox_of_the_group_norm_over_all_writers(net, amount):
    group = net.groups[0]
    before = channels(group)
    shrink(group, amount)
    after = channels(group)
    assert_rows(after, [numerical_prox(row, two=amount) for row in before])
    assert torch.equal((after == 0).all(1), before.norm(dim=1) <= amount)


@pytest.mark.parametrize("strength", [0.05, 0.3, 1.5])
def test_sparse_group_lasso_composes_to_the_prox_of_the_sum(net, strength):
    group = net.groups[0]
    before = channels(group)
    method = SparseGroupLasso(torch.Generator(), strength=strength, optimizer="sgd")
    method.after_step(net, lr=0.5)
    amount = 0.5 * strength
    expected = [numerical_prox(row, one=amount, two=amount * sum(COLUMNS) ** 0.5) for row in before]
    assert_rows(channels(group), expected)


@pytest.mark.parametrize("group", [0.0, *AMOUNTS])
@pytest.mark.parametrize("exclusive", AMOUNTS)
@pytest.mark.parametrize("start", [0.0, 100.0])
def test_combined_shrink_is_the_prox_of_the_group_norm_and_the_squared_l1_norm(net, group, exclusive, start):
    weight = net.module["first"].weight.detach()
    before = weight.clone()
    combined_shrink(weight, group, exclusive, torch.full((6, 1), start, dtype=torch.float64))
    assert_rows(weight, [numerical_prox(row, two=group, exclusive=exclusive) for row in before])
    assert torch.equal((weight == 0).all(1), before.norm(dim=1) <= group)


def test_cges_steps_by_the_prox_over_all_writers(net):
    group = net.groups[0]
    before = channels(group)
    method = CGES(torch.Generator(), strength=0.8, least_share=0.25, optimizer="momentum")
    method.prepare(net, 1)
    method.after_step(net, lr=0.1)  # with momentum 0.9 a step of size 1
    expected = [numerical_prox(row, two=0.8 * 0.75, exclusive=0.8 * 0.25) for row in before]
    assert_rows(channels(group), expected)


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("start", [0.0, 100.0])
def test_combined_shrink_without_group_norm_meets_the_sorted_solution(net, amount, start):
    weight = net.module["first"].weight
    before = weight.detach().clone()
    combined_shrink(weight.detach(), 0.0, amount, torch.full((6, 1), start, dtype=torch.float64))
    for row, shrunk in zip(before, weight.detach(), strict=True):
        thresholds = (
            amount
            * row.abs().sort(descending=True)[0].cumsum(0)
            / (1 + amount * torch.arange(1, 6, dtype=torch.float64))
        )
        expected = row.sign() * (row.abs() - thresholds.max()).clamp_min(0)
        torch.testing.assert_close(shrunk, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("start", [0.0, 1e-3, 100.0])
def test_metric_shrink_is_the_prox_under_adams_metric(net, amount, start):
    group = net.groups[0]
    before = channels(group)
    metrics = [torch.rand_like(site.layer.weight) * 2 + 0.05 for site in group.writers]
    joined = []
    for site, metric in zip(group.writers, metrics, strict=True):
        part = torch.empty_like(metric)
        part[site.channels] = metric[site.positions]
        joined.append(part)
    joined = torch.cat(joined, 1)
    norms = metric_shrink(group, [amount / metric for metric in metrics], torch.full((6,), start, dtype=torch.float64))
    after = channels(group)
    assert_rows(after, [numerical_prox(row, two=amount, metric=d) for row, d in zip(before, joined, strict=True)])
    assert torch.equal((after == 0).all(1), (joined * before).norm(dim=1) <= amount)
    torch.testing.assert_close(norms, after.norm(dim=1), rtol=1e-9, atol=1e-9)


def test_lowest_takes_the_ratio_and_the_earlier_of_equals():
    scores = torch.tensor([3.0, 1.0, 2.0, 1.0, 1.0])
    assert lowest(scores, 0.5).tolist() == [False, True, False, True, False]
    assert not lowest(scores, 0.1).any()
    assert lowest(scores, 1.0).all()

"""OBD-C, HESSO, AdaBreg and VIBNet: their scores, schedules, iterations and gates against independent computations."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from baselines import hesso, obd_channel
from baselines.adabreg import AdaBreg
from baselines.vibnet import VIBNet
from benchmark.method import OPTIMIZERS
from benchmark.removal.groups import ChannelGroup, Net, Site
from tests.methods.test_methods import IMAGES, LABELS, Residual, build, make, plain, train


@pytest.fixture(params=[Residual, plain], ids=["residual", "plain"])
def net(request) -> Net:
    return build(request.param)


def channel_rows(group: ChannelGroup, values: dict[Tensor, Tensor], sites) -> Tensor:
    """What the tensors hold for each channel of all layers of a group, weights and biases, channels × values."""
    found = [[] for _ in range(group.size)]
    for site in sites:
        for parameter in (site.layer.weight, site.layer.bias):
            if parameter is not None:
                for channel, position in zip(site.channels.tolist(), site.positions.tolist(), strict=True):
                    found[channel].append(values[parameter][position].detach().flatten())
    return torch.stack([torch.cat(parts) for parts in found])


def test_obd_channel_scores_by_the_mean_of_squared_gradients_sample_by_sample(net):
    module = net.module
    module.eval()
    squares = {parameter: torch.zeros_like(parameter) for parameter in module.parameters()}
    for image, label in zip(IMAGES.split(1), LABELS.split(1), strict=True):
        gradients = torch.autograd.grad(cross_entropy(module(image), label), list(squares))
        for parameter, gradient in zip(squares, gradients, strict=True):
            squares[parameter] += gradient**2 / len(IMAGES)
    module.train()
    for group, mine in zip(net.groups, obd_channel.scores(net, IMAGES, LABELS), strict=True):
        expected = torch.zeros(group.size, dtype=torch.float64)
        for site in group.writers:
            saliency = (squares[site.layer.weight] * site.layer.weight.detach() ** 2).flatten(1).sum(1)
            expected[site.channels] += saliency[site.positions]
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-15)
    assert module.training


def test_hesso_scores_by_the_mean_of_five_normalised_criteria(net):
    cross_entropy(net.module(IMAGES), LABELS).backward()
    directions = {parameter: parameter.grad for parameter in net.module.parameters()}
    found = []
    for group in net.groups:
        sites = (*group.writers, *group.norms)
        w = channel_rows(group, {p: p for p in directions}, sites)
        d = channel_rows(group, directions, sites)
        norm, inner = w.norm(dim=1), (w * d).sum(1)
        cosine = nn.functional.cosine_similarity(w, d, dim=1)
        found.append(torch.stack([norm, norm / w.shape[1], 1 + cosine, inner.abs(), 0.5 * inner**2]))
    together = torch.cat(found, 1)
    expected = sum(0.2 * kind / kind.norm() for kind in together)
    torch.testing.assert_close(torch.cat(hesso.scores(net, directions)), expected, rtol=1e-5, atol=1e-9)


def test_hesso_scores_by_the_step_that_momentum_takes(net):
    method = make(hesso.HESSO, learning_rate=0.1, decay=0.01)
    train(net, method, 5)
    net.module.zero_grad()
    cross_entropy(net.module(IMAGES), LABELS).backward()
    directions = method._directions(net)
    before = {parameter: parameter.detach().clone() for parameter in net.module.parameters()}
    method.built.step()
    for parameter, old in before.items():
        torch.testing.assert_close(parameter.detach(), old - 0.1 * directions[parameter], rtol=1e-9, atol=1e-12)


def test_hesso_leads_its_channels_to_zero_in_even_parts_and_no_others(net):
    method = make(hesso.HESSO, ratio=0.5, learning_rate=1e-5, decay=0.0)
    method.prepare(net, 100)  # ten steps from the tenth on
    method.configure_optimizer(net)
    start = [group.incoming_norms() for group in net.groups]
    shares = []
    for _ in range(100):
        for parameter in net.module.parameters():
            parameter.grad = torch.ones_like(parameter)
        method.after_backward(net)
        method.after_step(net, 0.0)
        shares.append([group.incoming_norms() / norms for group, norms in zip(net.groups, start, strict=True)])
    assert sum(doomed.sum().item() for doomed in method.doomed) == 7  # half of 14
    for step, found in enumerate(shares):
        left = 1 - min(max(step - 9, 0), 10) / 10
        for share, doomed in zip(found, method.doomed, strict=True):
            torch.testing.assert_close(share[doomed], torch.full_like(share[doomed], left), rtol=1e-9, atol=1e-12)
            assert (share[~doomed] == 1).all()
            assert left > 0 or (share[doomed] == 0).all()


def test_hesso_leaves_nothing_of_its_channels_for_silence_to_do(net):
    method = make(hesso.HESSO, ratio=0.5, learning_rate=0.05)
    train(net, method, 60)
    before = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    for group, doomed in zip(net.groups, method.doomed, strict=True):
        group.silence(doomed)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.module.state_dict().items())
    assert sum((group.incoming_norms() == 0).sum().item() for group in net.groups) == 7


def least_squares(method: AdaBreg, inputs: Tensor, targets: Tensor, steps: int) -> np.ndarray:
    """W (features × targets) that the method finds for ‖Y − XW‖² / 2n; each row is a channel."""
    layer = nn.Linear(targets.shape[1], inputs.shape[1], bias=False).double()
    everyone = torch.arange(inputs.shape[1])
    net = Net(layer, [ChannelGroup("", len(everyone), (Site("", layer, 0, everyone, everyone),), (), ())])
    layer.weight.data.zero_()
    method.prepare(net, steps)
    optimizer = method.configure_optimizer(net)
    for _ in range(steps):
        layer.weight.grad = inputs.T @ (inputs @ layer.weight.detach() - targets) / len(inputs)
        method.after_backward(net)
        optimizer.step()
        method.after_step(net, 0.0)
    return layer.weight.detach().numpy()


def test_linbreg_reaches_the_sparsest_of_many_solutions():
    """The minimiser of λ√|g| Σ ‖w_g‖₂ + ‖W‖² / 2δ among all W with XW = Y, found by SciPy."""
    random = np.random.default_rng(1)
    inputs = random.standard_normal((6, 12))
    truth = random.standard_normal((12, 2)) * (np.arange(12) % 5 == 0)[:, None]
    targets, strength = inputs @ truth, 2.0
    method = make(AdaBreg, strength=strength, optimizer="sgd", learning_rate=0.3)
    found = least_squares(method, torch.from_numpy(inputs), torch.from_numpy(targets), 8000)

    def objective(flat: np.ndarray) -> float:
        rows = flat.reshape(12, 2)
        return strength * 2**0.5 * np.sqrt((rows**2).sum(1) + 1e-14).sum() + (rows**2).sum() / 2

    equal = {"type": "eq", "fun": lambda flat: (inputs @ flat.reshape(12, 2) - targets).ravel()}
    options = {"maxiter": 2000, "ftol": 1e-13}
    start = (np.linalg.pinv(inputs) @ targets).ravel()
    best = minimize(objective, start, constraints=equal, options=options, method="SLSQP")
    assert best.success
    assert 3 <= (np.abs(found).max(1) == 0).sum() < 12, "the problem must have zero and nonzero channels"
    np.testing.assert_allclose(inputs @ found, targets, atol=1e-3)
    np.testing.assert_allclose(found, best.x.reshape(12, 2), atol=5e-3)


@pytest.mark.parametrize(("optimizer", "strength"), [("adam", 0.15), ("sgd", 0.02)])
def test_adabreg_steps_its_subgradient_and_takes_the_prox(net, optimizer, strength):
    method = make(AdaBreg, strength=strength, optimizer=optimizer, learning_rate=0.02)
    method.prepare(net, 10)
    optimizer_object = method.configure_optimizer(net)
    layers = [(group, site) for group in net.groups for site in group.writers]
    duals = [torch.nn.Parameter(dual.detach().clone()) for _, own in method.duals for dual in own]
    kind, options = OPTIMIZERS[optimizer]
    reference = kind(duals, lr=0.02, **options)
    for _ in range(10):
        optimizer_object.zero_grad()
        cross_entropy(net.module(IMAGES), LABELS).backward()
        for (_, site), dual in zip(layers, duals, strict=True):
            dual.grad = site.layer.weight.grad.clone()
        method.after_backward(net)
        optimizer_object.step()
        reference.step()
        method.after_step(net, 0.02)
    values = {site.layer.weight: dual for (_, site), dual in zip(layers, duals, strict=True)}
    weights = {site.layer.weight: site.layer.weight for _, site in layers}
    alive = 0
    for group in net.groups:
        v, w = (weight_rows(group, tensors) for tensors in (values, weights))
        length, price = v.norm(dim=1, keepdim=True), strength * v.shape[1] ** 0.5
        torch.testing.assert_close(w, v * (1 - price / length).clamp_min(0), rtol=1e-9, atol=1e-12)
        alive += (w.norm(dim=1) > 0).sum().item()
    assert 0 < alive < sum(group.size for group in net.groups)


def weight_rows(group: ChannelGroup, values: dict[Tensor, Tensor]) -> Tensor:
    """The incoming weights of every channel, channels × weights."""
    parts = []
    for site in group.writers:
        part = values[site.layer.weight].detach().flatten(1)
        parts.append(part.clone().index_copy(0, site.channels, part[site.positions]))
    return torch.cat(parts, 1)


def test_adabreg_starts_with_a_channel_of_each_group_and_keeps_its_weights(net):
    before = [weight_rows(group, {s.layer.weight: s.layer.weight for s in group.writers}) for group in net.groups]
    method = make(AdaBreg, strength=0.2)
    method.prepare(net, 10)
    for parameter in net.module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    method.after_step(net, 0.0)  # the prox of the first subgradient is what it started from
    for group, old in zip(net.groups, before, strict=True):
        new = weight_rows(group, {s.layer.weight: s.layer.weight for s in group.writers})
        alive = new.norm(dim=1) > 0
        assert alive.sum() == math.ceil(0.01 * group.size) == 1
        torch.testing.assert_close(new[alive], old[alive])


def test_vibnet_multiplies_every_sample_by_gates_of_its_own_and_pays_for_them(net):
    """The gradients of μ and log σ², against the same noise put in by hand."""
    method = make(VIBNet, strength=0.01)
    method.prepare(net, 10)
    for means, logs in method.gates:
        torch.nn.init.normal_(means, 1, 0.3)
        torch.nn.init.normal_(logs, -2, 0.3)
    state = method.generator.get_state()
    (cross_entropy(net.module(IMAGES), LABELS) + method.penalty(net)).backward()

    for hook in method.hooks:
        hook.remove()
    noise, copies, hooks = torch.Generator(), [], []
    noise.set_state(state)
    places = {}
    for group, (means, logs) in zip(net.groups, method.gates, strict=True):
        copies.append([part.detach().clone().requires_grad_() for part in (means, logs)])
        places |= {site.layer: (site, *copies[-1]) for site in group.norms or group.writers}

    def gate(layer, inputs, output):
        site, means, logs = places[layer]
        z = means + logs.exp().sqrt() * torch.randn(len(output), len(means), generator=noise).double()
        ordered = torch.stack([z[:, site.channels[site.positions == k].item()] for k in range(output.shape[1])], 1)
        return output * (ordered[:, :, None, None] if output.dim() == 4 else ordered)

    hooks = [layer.register_forward_hook(gate) for layer in places]
    price = sum(0.01 * 0.5 * torch.log(1 + means**2 / logs.exp()).sum() for means, logs in copies)
    (cross_entropy(net.module(IMAGES), LABELS) + price).backward()
    for hook in hooks:
        hook.remove()
    for mine, real in zip(method.gates, copies, strict=True):
        for parameter, copy in zip(mine, real, strict=True):
            assert copy.grad.abs().max() > 1e-6
            torch.testing.assert_close(parameter.grad, copy.grad, rtol=1e-6, atol=1e-10)


def test_vibnet_cuts_where_the_noise_outweighs_the_mean_and_changes_nothing_else(net):
    method = make(VIBNet, strength=1e-3, learning_rate=0.01)
    train(net, method, 20)
    for _, logs in method.gates:
        logs.data[:2] = 2.0
    expected = [logs.detach().exp() >= means.detach() ** 2 for means, logs in method.gates]
    assert [cut.sum() for cut in expected] == [2, 2]
    net.module.eval()
    with torch.no_grad():
        before = net.module(IMAGES)
        method.silence(net, IMAGES, LABELS)
        torch.testing.assert_close(net.module(IMAGES), before, rtol=1e-9, atol=1e-12)
    for group, cut in zip(net.groups, expected, strict=True):
        assert torch.equal(group.incoming_norms() == 0, cut)
    assert not any(layer._forward_hooks for layer in net.module.modules())

"""Closed-form gradients against autograd, factorised methods against real factors, and what each method promises."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

from baselines import (
    d_gating,
    gradual_magnitude,
    group_norm_sparsity,
    growing_reg,
    hard_concrete,
    l1,
    magnitude_weight,
    network_slimming,
    scratch,
    spred,
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


@pytest.fixture(params=[Residual, plain], ids=["residual", "plain"])
def net(request) -> Net:
    return build(request.param)


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
    method.prepare(net, 1)
    norms = [m.weight for m in net.module.modules() if isinstance(m, nn.BatchNorm2d)]
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
        penalty = penalty + strength * group.fan_in * torch.sigmoid(log_alpha - 2 / 3 * math.log(0.1 / 1.1)).sum()
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


@pytest.mark.parametrize(("shape", "widths"), [({"ratio": 0.5}, (4, 3)), ({"ratio": 0.6, "left": "3-2"}, (3, 2))])
def test_scratch_trains_a_network_of_the_reduced_width(shape, widths):
    net, method = build(Residual), make(scratch.Scratch, **shape, learning_rate=0.05)
    method.prepare(net, 10)
    reduced = remove_silent(net.module, IMAGES).module
    assert (reduced.stem.weight.shape[0], reduced.inner.weight.shape[0]) == widths
    optimizer = method.configure_optimizer(net)
    narrow = method.build_optimizer(reduced.parameters(), weight_decay=method.strength)
    for _ in range(10):
        for module, steps in ((net.module, optimizer), (reduced, narrow)):
            steps.zero_grad()
            cross_entropy(module(IMAGES), LABELS).backward()
            steps.step()
        method.after_step(net, 0.05)
    with torch.no_grad():
        torch.testing.assert_close(net.module(IMAGES), reduced(IMAGES), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("sizes", [[8, 6], [1000], [7, 100, 31]])
def test_scratch_leaves_of_every_group_what_the_ratio_spares_or_what_it_is_told(sizes):
    for ratio in (0.0, 0.29, 0.5, 0.96, 1.0):
        assert make(scratch.Scratch, ratio=ratio).shape(sizes) == [size - int(ratio * size) for size in sizes]
    told = [1, *sizes[1:]]
    assert make(scratch.Scratch, left="-".join(map(str, told))).shape(sizes) == told


def test_scratch_starts_what_reads_a_narrowed_layer_at_the_size_of_its_own_fan_in():
    layers = nn.Sequential(nn.Flatten(), nn.Linear(72, 4000), nn.ReLU(), nn.Linear(4000, 5))
    net = find_groups(layers, IMAGES.float())
    make(scratch.Scratch, left="40").prepare(net, 1)
    largest = layers[3].weight.abs().max().item()
    assert 0.9 * 40**-0.5 < largest <= 40**-0.5


@pytest.mark.parametrize("left", ["8", "8-6-1", "0-6", "8-7", "9-6"])
def test_scratch_refuses_a_shape_that_does_not_fit_in_one_line(left):
    words = rf"^left = '{left}' does not fit groups of 8-6: from 1 to all of each group's channels$"
    with pytest.raises(ValueError, match=words):
        make(scratch.Scratch, left=left).prepare(build(Residual), 1)


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

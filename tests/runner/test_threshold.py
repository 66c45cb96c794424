import pytest
import torch
from torch import nn

from benchmark.data.load import load
from benchmark.experiment.record import Record
from benchmark.experiment.trial import MethodSetting, Protocol, Task, Trial
from benchmark.method import Method, Real, Threshold, training
from benchmark.method.domains import RULE
from benchmark.method.registry import get_method, registry
from benchmark.networks.build import build
from benchmark.networks.measure import accuracy
from benchmark.removal.groups import find_groups
from benchmark.runner import threshold as threshold_module
from benchmark.runner.threshold import TRIED, set_threshold, threshold_accuracy
from benchmark.runner.trial import run

NEW = {"threshold", "threshold_accuracy"}
VOLATILE = {"created", "train_seconds", "peak_memory", "key", "setting", "provenance"}


class Drawing(Method):
    """Silences below ξ, and with it leaves a trace of itself wherever it can."""

    title, reference, knob = "Drawing", "test", None
    space = {"threshold": Threshold(1e-3), **training("sgd", 0.1)}

    @torch.no_grad()
    def silence(self, net, images, labels):
        module = net.module.eval()
        noise = torch.rand(1, generator=self.generator) + torch.rand(1)
        for parameter in module.parameters():
            parameter += 1e-3 * noise
        for buffer in module.buffers():
            buffer += 1
        for group in net.groups:
            group.silence(group.incoming_norms() < self.threshold)
        with torch.enable_grad():
            nn.functional.cross_entropy(module(images), labels).backward()
        self.called = True


class Plain(Drawing):
    """The same with a ξ that is none of the benchmark's."""

    space = {"threshold": Real(2.0, 1, 9), **training("sgd", 0.1)}


class Clean(Drawing):
    """Silences below ξ, and nothing else."""

    def silence(self, net, images, labels):
        for group in net.groups:
            group.silence(group.incoming_norms() < self.threshold)


@pytest.fixture
def samples():
    data = load("simulated", 0.2, 0.2, 0)
    return tuple((data.pixels(split.images), split.labels) for split in (data.train, data.validation))


@pytest.fixture
def net(samples):
    """8 channels whose incoming norms lie between 1e-8 and 1, one in each decade."""
    torch.manual_seed(0)
    module = build("mlp", (1, 4, 4), 4, seed=0, widths=(8,))
    net = find_groups(module, samples[1][0][:8])
    with torch.no_grad():
        weight = net.weights[0]
        weight.div_(weight.norm(dim=1, keepdim=True)).mul_(torch.logspace(-7.5, -0.5, 8)[:, None])
    module(samples[0][0])  # in training mode: statistics of its own
    return net


def method(kind, **hyperparameters):
    return kind(torch.Generator().manual_seed(5), **hyperparameters)


def test_the_sweep_restores_network_method_and_random_state_to_the_bit(net, samples):
    module, drawing = net.module.train(), method(Drawing)
    module[2].eval()
    nn.functional.cross_entropy(module(samples[0][0]), samples[0][1]).backward()
    module.register_buffer("unstored", torch.zeros(3), persistent=False)

    def everything():
        tensors = [*module.parameters(), *module.buffers(), *(p.grad for p in module.parameters())]
        states = [drawing.generator.get_state(), torch.get_rng_state()]
        return [t.clone() for t in (*tensors, *states)], [layer.training for layer in module.modules()], vars(drawing)

    before = [*everything()[:2], dict(vars(drawing))]
    found = threshold_accuracy(net, drawing, *samples)
    after = everything()
    assert list(found) == list(TRIED)
    assert all(map(torch.equal, before[0], after[0]))
    assert before[1:] == list(after[1:])


def test_the_accuracy_at_each_threshold_is_that_of_a_network_silenced_there(net, samples):
    found = threshold_accuracy(net, method(Clean), *samples)
    state = {name: tensor.clone() for name, tensor in net.module.state_dict().items()}
    for xi in TRIED:
        net.module.load_state_dict(state)
        method(Clean, threshold=float(xi)).silence(net, *samples[0])
        assert found[xi] == accuracy(net.module, *samples[1]), xi
    assert len(set(found.values())) > 1


def test_a_threshold_that_silences_the_same_channels_is_not_evaluated_again(net, samples, monkeypatch):
    calls = []
    monkeypatch.setattr(threshold_module, "accuracy", lambda *a: calls.append(a) or accuracy(*a))
    threshold_accuracy(net, method(Clean), *samples)
    assert len(calls) == 1 + 8  # the trained network, and each time one more channel


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [
        ({"1e-03": 0.9, "1e-02": 0.899, "1e-01": 0.898}, 1e-2),
        ({"1e-03": 0.9, "1e-02": 0.89, "1e-01": 0.9}, 1e-1),
        ({"1e-03": 0.95, "1e-02": 0.91, "1e-01": 0.5}, 1e-2),
        ({"1e-16": 0.8, "1e-02": 0.5, "1e-01": 0.7}, 1e-16),
    ],
)
def test_the_rule_takes_the_largest_threshold_that_costs_a_tenth_of_a_point_else_the_smallest(accuracies, chosen):
    ruled, fixed = method(Drawing, threshold=RULE), method(Drawing, threshold=0.5)
    assert set_threshold(ruled, accuracies, 0.9) == ruled.threshold == chosen
    assert set_threshold(fixed, accuracies, 0.9) == fixed.threshold == 0.5


def test_the_largest_threshold_tried_lies_above_every_norm_however_large_weights_before_batch_norm_have_grown(samples):
    torch.manual_seed(0)
    module = build("mlp", (1, 4, 4), 4, seed=0, widths=(8,))
    net = find_groups(module, samples[1][0][:8])
    with torch.no_grad():
        net.weights[0].mul_(100)
    found = threshold_accuracy(net, method(Clean), *samples)
    constant = torch.bincount(samples[1][1]).double() / len(samples[1][1])
    assert found[TRIED[-1]] in constant.tolist()
    assert [float(xi) for xi in TRIED] == sorted({float(xi) for xi in TRIED})


def test_a_method_without_such_a_threshold_has_neither(net, samples):
    for other in (method(Plain), method(get_method("dense"))):
        assert threshold_accuracy(net, other, *samples) == {}
        assert set_threshold(other, {}, 0.9) is None


@pytest.fixture
def drawing(monkeypatch):
    monkeypatch.setitem(registry().methods, "drawing", Drawing)


def result(name, **hyperparameters) -> Record:
    kind = get_method(name)
    setting = MethodSetting(method=name, version=kind.version, hyperparameters=kind.validate(hyperparameters))
    task = Task(dataset="simulated", network="mlp", widths=(8,))
    return run(
        Trial(study="t", label=name, task=task, setting=setting, base=None, protocol=Protocol(epochs=4), seed=0), None
    )


def same(one, other):
    return one.model_dump(exclude=NEW | VOLATILE) == other.model_dump(exclude=NEW | VOLATILE)


@pytest.mark.usefixtures("drawing")
def test_with_a_fixed_threshold_a_trial_is_the_same_with_and_without_the_sweep(monkeypatch):
    swept = result("drawing")
    monkeypatch.setattr("benchmark.runner.trial.threshold_accuracy", lambda *a: {})
    unswept = result("drawing")
    assert swept.status == "ok"
    assert same(swept, unswept)
    assert (list(swept.threshold_accuracy), unswept.threshold_accuracy, unswept.threshold) == (list(TRIED), {}, 1e-3)


def test_by_the_rule_a_trial_is_that_of_the_threshold_which_the_rule_takes():
    ruled = result("implicit", threshold=RULE, strength=0.1, learning_rate=0.02)
    fixed = result("implicit", threshold=ruled.threshold, strength=0.1, learning_rate=0.02)
    assert ruled.setting.hyperparameters["threshold"] == RULE
    assert f"{ruled.threshold:.0e}" in ruled.threshold_accuracy
    assert ruled.threshold_accuracy == fixed.threshold_accuracy
    assert ruled.stage_accuracy["silenced"] == ruled.threshold_accuracy[f"{ruled.threshold:.0e}"]
    assert same(ruled, fixed)
    assert ruled.key != fixed.key


def test_every_method_with_a_threshold_takes_the_rule():
    named = {name for name, kind in registry().methods.items() if "threshold" in kind.space}
    assert {"implicit", "implicit_scale", "l1", "ssl", "spred", "d_gating"} <= named
    for name in named:
        kind = get_method(name)
        assert kind.validate({"threshold": RULE})["threshold"] == RULE
        assert isinstance(kind.validate({})["threshold"], float)
        for wrong in (2000.0, "within 1", None):
            with pytest.raises(ValueError, match="threshold = "):
                kind.validate({"threshold": wrong})

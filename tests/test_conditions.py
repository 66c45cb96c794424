"""Conditions of sparsity: what a study makes of its factors."""

from __future__ import annotations

import pytest
import torch

from benchmark.errors import UsageError
from benchmark.registry import get_method
from benchmark.study import load_study
from tests.conftest import TINY

CONDITIONS = """
[conditions]
of = "steady"
crossed = ["optimizer", "activation"]

[conditions.factors.optimizer]
adam = {}
sgd = {optimizer = "sgd", learning_rate = 0.1}

[conditions.factors.activation]
relu = {}
tanh = {activation = "tanh"}

[conditions.factors.penalty]
none = {strength = 0.0}
L1 = {method = "l1", strength = 0.001}

[conditions.factors."batch size"]
32 = {batch_size = 32}
"""
STUDY = TINY.partition("[methods.implicit]")[0] + '[methods.steady]\nmethod = "implicit"\nstrength = 0.1\n' + CONDITIONS


def load(tmp_path, text=STUDY):
    path = tmp_path / "conditioned.toml"
    path.write_text(text)
    return load_study(str(path))


def test_each_condition_differs_from_the_setting_in_what_it_names_and_in_nothing_else(tmp_path):
    trials = {t.label: t for t in load(tmp_path).trials() if t.seed == 0}
    assert set(trials) == {
        "dense", "steady", "optimizer: sgd", "activation: tanh", "penalty: none", "penalty: L1", "batch size: 32",
        "optimizer: sgd, activation: tanh",
    }  # fmt: skip
    steady = trials["steady"]
    sgd = {**steady.setting.hyperparameters, "optimizer": "sgd", "learning_rate": 0.1}
    both = trials["optimizer: sgd, activation: tanh"]
    assert trials["optimizer: sgd"].setting.hyperparameters == both.setting.hyperparameters == sgd
    assert both.task == trials["activation: tanh"].task == steady.task.model_copy(update={"activation": "tanh"})
    assert trials["batch size: 32"].protocol == steady.protocol.model_copy(update={"batch_size": 32})
    assert trials["penalty: none"].setting.hyperparameters["strength"] == 0
    assert trials["penalty: L1"].setting.method == "l1"
    for label, trial in trials.items():
        assert trial.task == steady.task or "activation" in label
        assert trial.protocol == steady.protocol or "batch size" in label
    assert len({t.key for t in trials.values()}) == len(trials)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('of = "steady"', 'of = "unsteady"', "'unsteady', which is none"),
        ('crossed = ["optimizer", "activation"]', 'crossed = ["optimizer"]', "takes two factors"),
        ('crossed = ["optimizer", "activation"]', 'crossed = ["optimizer", "norm"]', "the factor 'norm'"),
        ('activation = "tanh"', 'activation = "tahn"', "did you mean 'tanh'"),
        ("batch_size = 32", "batch_size = 1", "greater than or equal to 2"),
        ('optimizer = "sgd"', 'optimiser = "sgd"', "did you mean 'optimizer'"),
        ("none = {strength = 0.0}", "same = {strength = 0.1}", "repeats a point of [methods.steady]"),
        ("strength = 0.1\n", "strength = 0.1\ntask = {widths = [4]}\n", "which all methods share"),
    ],
)
def test_a_bad_condition_is_one_clear_line(tmp_path, old, new, message):
    assert old in STUDY
    with pytest.raises(UsageError) as error:
        load(tmp_path, STUDY.replace(old, new)).trials()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_epsilon_is_the_optimisers_own_unless_it_is_set():
    method = get_method("implicit")
    net = type("Net", (), {"module": torch.nn.Linear(2, 2)})()
    assert "epsilon" not in method.validate({})
    for setting, expected in (({}, 1e-8), ({"optimizer": "adagrad"}, 1e-10), ({"epsilon": 1e-3}, 1e-3)):
        optimizer = method(torch.Generator(), **setting).configure_optimizer(net)
        assert optimizer.param_groups[0]["eps"] == expected


def test_what_a_method_leaves_to_the_library_is_never_sampled(tmp_path):
    plan = load(tmp_path, TINY.replace("seeds =", 'sampler = "random"\nsamples = 3\nseeds ='))
    assert plan.space("implicit").keys() == {"strength", "threshold", "optimizer", "learning_rate"}
    assert all("epsilon" not in t.setting.hyperparameters for t in plan.trials())

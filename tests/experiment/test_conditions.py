"""Conditions of sparsity: what a study makes of its factors."""

from __future__ import annotations

import pytest
import torch

from benchmark.errors import UsageError
from benchmark.experiment.sampling import space
from benchmark.experiment.study import load_study
from benchmark.method.registry import get_method
from tests.conftest import TINY

FIGURES = ("heatmap", "norms", "epochs", "thresholds")
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
together = pytest.mark.xdist_group("conditions")  # they share a study that was run and drawn


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
    alone = load(tmp_path, STUDY.replace('crossed = ["optimizer", "activation"]', ""))
    assert {t.label for t in alone.trials()} == set(trials) - {"optimizer: sgd, activation: tanh"}
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


def test_a_method_beside_conditions_has_one_knob_point(tmp_path):
    one = STUDY.replace('method = "implicit"\nstrength = 0.1\n', 'method = "implicit"\nstrength = [0.1]\n')
    assert [t.key for t in load(tmp_path, one).trials()] == [t.key for t in load(tmp_path).trials()]
    with pytest.raises(UsageError) as caught:
        load(tmp_path, one.replace("[0.1]", "[0.1, 0.2]")).trials()
    assert str(caught.value) == (
        "study 'conditioned': [methods.steady] has 2 points for its knob 'strength'; beside conditions it has one"
    )
    listed = one.replace("strength = [0.1]", "points = [{strength = 0.1}, {strength = 0.2}]")
    with pytest.raises(UsageError, match=r"\[methods.steady\] has 2 points; beside conditions it has one"):
        load(tmp_path, listed).trials()


def test_a_condition_that_no_task_or_protocol_accepts_is_explained_with_the_studys_name(tmp_path):
    with pytest.raises(UsageError, match=r"^study 'conditioned': batch_size: Input should be greater than or equal"):
        load(tmp_path, STUDY.replace("batch_size = 32", "batch_size = 1")).trials()


def test_a_condition_with_another_method_takes_no_hyperparameter_over(tmp_path):
    text = STUDY.replace("strength = 0.1\n", "strength = 0.1\nlearning_rate = 0.05\n", 1)
    settings = {t.label: t.setting for t in load(tmp_path, text).trials()}
    assert settings["steady"].hyperparameters["learning_rate"] == 0.05
    assert settings["penalty: L1"].hyperparameters == get_method("l1").validate({"strength": 0.001})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('of = "steady"', 'of = "unsteady"', "'unsteady', which is none"),
        ('crossed = ["optimizer", "activation"]', 'crossed = ["optimizer"]', "takes two factors"),
        ('crossed = ["optimizer", "activation"]', 'crossed = ["optimizer", "norm"]', "the factor 'norm'"),
        ('activation = "tanh"', 'activation = "tahn"', "did you mean 'tanh'"),
        ("factors.penalty", "factors.control", "a factor is named 'control'"),
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
    assert space(plan, "implicit").keys() == {"strength", "threshold", "optimizer", "learning_rate"}
    assert all("epsilon" not in t.setting.hyperparameters for t in plan.trials())


def test_a_level_that_restates_the_setting_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"repeats a point of \[methods.steady\]"):
        load(tmp_path, STUDY.replace("relu = {}", 'relu = {activation = "relu"}')).trials()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("strength = 0.1\n", "strength = [0.1, 0.2]\n", "has 2 points for its knob 'strength'"),
        (
            "widths = [8]\n",
            'widths = [8]\n[[tasks]]\ndataset = "digits"\nnetwork = "mlp"\n',
            "conditions are of one task",
        ),
        ("tanh = {activation", "tanh = {learning_rate = 0.2, activation", "both change 'learning_rate'"),
        ('sgd = {optimizer = "sgd"', 'sgd = {method = "l1"', "one changes the method"),
    ],
)
def test_what_could_pool_or_mislabel_conditions_is_refused(tmp_path, old, new, words):
    assert old in STUDY
    with pytest.raises(UsageError, match=words):
        load(tmp_path, STUDY.replace(old, new, 1)).trials()

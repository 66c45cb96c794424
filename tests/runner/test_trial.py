import sys
from pathlib import Path

import pytest
import torch

from benchmark.data.load import load
from benchmark.data.names import ENVIRONMENT
from benchmark.errors import UsageError
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.trial import MethodSetting, Protocol, Task, Trial, shared_training
from benchmark.method.registry import get_method
from benchmark.networks.measure import accuracy, parameters
from benchmark.runner import trial as trial_module
from benchmark.runner.environment import hardware
from benchmark.runner.in_process import Destination, Resources, run_in_process
from benchmark.runner.train import Course, train
from benchmark.runner.trial import Base, check_task, examples, explain, run, run_and_keep, train_base, train_watched
from tests.support.made_data import make_mnist

STEPS = 4  # batches of an epoch: 240 training samples, 64 a batch


def make(method, epochs=4, task=None, seed=0, **hyperparameters):
    def setting(name, values):
        kind = get_method(name)
        return MethodSetting(method=name, version=kind.version, hyperparameters=kind.validate(values))

    own, base = setting(method, hyperparameters), get_method(method).base
    return Trial(
        study="test",
        label=method,
        task=task or Task(dataset="simulated", network="mlp", widths=(8,)),
        setting=own,
        base=shared_training(own) if base == method else setting(base, {}) if base else None,
        protocol=Protocol(epochs=epochs),
        seed=seed,
    )


def result(method, **options) -> Record:
    trial = make(method, **options)
    base: Base | None = train_base(trial) if trial.base else None
    return run(trial, base)


def digits(strength, optimizer="adam", learning_rate=0.05):
    """The default study's network on its data, with a fifth of its epochs at five times its learning rate."""
    task = Task(dataset="digits", network="mlp", widths=(256,))
    return result("implicit", task=task, epochs=60, strength=strength, optimizer=optimizer, learning_rate=learning_rate)


def test_adam_with_l2_removes_and_momentum_or_no_l2_do_not():
    implicit = digits(0.03)
    assert implicit.status == "ok"
    assert implicit.channel_sparsity > 0.5
    assert implicit.test_accuracy > 0.9
    assert digits(0.0).channel_sparsity == 0
    assert digits(0.03, optimizer="momentum", learning_rate=0.2).channel_sparsity == 0
    assert digits(0.03, optimizer="adamw").channel_sparsity == 0


def test_record_is_complete_and_consistent():
    record = result("magnitude_filter", ratio=0.5)
    assert record.status == "ok"
    assert list(record.stage_accuracy) == ["trained", "silenced", "reduced", "fine_tuned"]
    assert record.base_seconds > 0
    assert record.stage_accuracy["silenced"] == record.stage_accuracy["reduced"]
    assert record.channels == 8
    assert record.channels_left == {"1": 4}
    assert record.channel_sparsity == 0.5
    assert record.params_dense == 16 * 8 + 2 * 8 + 8 * 4 + 4
    assert record.params == 16 * 4 + 2 * 4 + 4 * 4 + 4
    assert record.param_sparsity == 1 - record.params / record.params_dense
    assert record.macs_dense == 16 * 8 + 8 * 4
    assert record.mac_sparsity == 0.5
    assert record.removal_error <= 1e-9
    assert record.removal_tried["ascent"] > 0
    assert len(record.threshold_sweep) == 17
    assert len(record.history["loss"]) == 1  # one of the four epochs is the fine-tuning, the base had three
    assert record.key == record.expected_key()
    assert {"device", "cpu", "threads"} <= set(record.provenance)
    assert Record.model_validate_json(record.model_dump_json(exclude_defaults=True)) == record


def test_a_record_holds_the_provenance_it_is_given_beside_the_machines():
    record = run(make("dense", epochs=1), None, provenance={"commit": "abc"})
    assert record.provenance == {"commit": "abc", **hardware("cpu")}
    assert record.created
    assert record.peak_memory > 2**20


def test_a_record_names_the_content_of_data_that_lie_in_files(tmp_path, monkeypatch):
    make_mnist(tmp_path, train=200)
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    trial = make("dense", epochs=1, task=Task(dataset="mnist", network="mlp", widths=(8,)))
    content = run(trial, None).provenance["data"]
    assert content == examples(trial).content
    assert content


def test_the_kept_network_is_the_one_that_the_record_measures():
    trial = make("magnitude_filter", ratio=0.5)
    record, module = run_and_keep(trial, train_base(trial))
    data = examples(trial)
    assert accuracy(module, data.pixels(data.test.images), data.test.labels) == record.test_accuracy
    assert parameters(module) == record.params


def test_unstructured_zeros_survive_fine_tuning(monkeypatch):
    def silence(self, net, images, labels):
        for weight in net.weights:
            weight.data[weight.abs() < weight.abs().median()] = 0

    monkeypatch.setattr(get_method("magnitude_filter"), "silence", silence)
    record = result("magnitude_filter")
    assert record.weight_sparsity == pytest.approx(0.5, abs=0.05)
    assert record.channel_sparsity < 0.5


def test_equal_seeds_give_equal_records_and_equal_initial_weights():
    first, again, other = (result("implicit", seed=seed) for seed in (0, 0, 1))
    volatile = {"created", "train_seconds", "peak_memory"}
    assert first.model_dump(exclude=volatile) == again.model_dump(exclude=volatile)
    assert first.history != other.history
    nets = [trial_module._network(t, examples(t)).module.state_dict() for t in (make("implicit"), make("l1"))]
    assert all(torch.equal(nets[0][key], nets[1][key]) for key in nets[0])


def test_a_trial_leaves_global_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    result("implicit")
    assert torch.equal(torch.get_rng_state(), before)


def test_numbers_below_float32s_normal_ones_make_no_difference_but_time(monkeypatch):
    tiny = torch.tensor([1e-40])
    flushed = digits(0.03)
    assert (tiny * 1).item() != 0
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: None)
    volatile = {"created", "train_seconds", "peak_memory", "latency"}
    assert flushed.model_dump(exclude=volatile) == digits(0.03).model_dump(exclude=volatile)


def test_base_training_is_a_dense_trial_over_the_bases_epochs():
    trial = make("magnitude_filter", epochs=8)
    record = run(trial, train_base(trial))
    assert trial.stages == (6, 6)
    assert record.stage_accuracy["trained"] == result("dense", epochs=6).stage_accuracy["trained"]


def test_a_base_is_trained_on_the_split_of_its_trial(monkeypatch):
    seen = []
    monkeypatch.setattr(trial_module, "load", lambda *a: seen.append(a) or load(*a))
    trial = make("magnitude_filter", seed=3)
    own = trial.model_copy(update={"protocol": trial.protocol.model_copy(update={"split_seed": "seed"})})
    record = run(own, train_base(own))
    assert record.status == "ok"
    assert {(a[3], a[5]) for a in seen} == {(3, 0)}
    assert len(seen) == 2
    assert record.stage_accuracy["trained"] == run(own, train_base(own)).stage_accuracy["trained"]
    assert not torch.equal(examples(own).validation.images, examples(trial).validation.images)
    assert torch.equal(examples(own).test.images, examples(trial).test.images)


def test_a_base_is_named_by_its_schedule_so_that_one_of_another_is_not_taken():
    trial = make("magnitude_filter", epochs=8)
    assert trial.base_key == f"{trial.base_trial.key}-over-6"


def test_any_method_can_be_fine_tuned():
    trial = make("implicit", epochs=8).model_copy(update={"fine_tune": True})
    record, plain = run(trial, None), result("implicit", epochs=6)
    assert trial.stages == (0, 6)
    assert len(record.history["loss"]) == 8
    assert record.history["loss"][:6] == plain.history["loss"]
    assert list(record.stage_accuracy) == ["trained", "silenced", "reduced", "fine_tuned"]
    assert record.trial == trial
    assert record.key == record.expected_key() != plain.key


def test_a_method_that_fine_tunes_can_be_left_as_it_is_removed():
    trial = make("magnitude_filter", epochs=8).model_copy(update={"fine_tune": False})
    record = run(trial, train_base(trial))
    assert trial.stages == (8, 8)
    assert list(record.stage_accuracy) == ["trained", "silenced", "reduced"]


def test_a_base_that_is_trained_on_has_had_half_of_the_epochs():
    trial = make("ssl", epochs=8)
    course = Course(trial_module._network(trial, examples(trial)), examples(trial), trial.protocol, trial.seed)
    train(course, trial_module.make_method(trial.base, trial.seed), range(3))
    state, seconds = train_base(trial)
    assert trial.stages == (3, 6)
    assert all(torch.equal(state[name], tensor) for name, tensor in course.net.module.state_dict().items())
    assert seconds > 0
    with pytest.raises(ValueError, match="dense starts from no base network"):
        train_base(make("dense"))


def test_a_trial_trains_its_own_epochs_and_fine_tunes_only_where_its_method_does():
    whole, trained_on, pruned = result("implicit"), result("ssl", epochs=8), result("magnitude_filter")
    assert [len(r.history["loss"]) for r in (whole, trained_on, pruned)] == [4, 5, 1]
    assert ["fine_tuned" in r.stage_accuracy for r in (whole, trained_on, pruned)] == [False, True, True]


def test_a_method_that_only_prunes_is_not_prepared_and_silences_by_the_training_data(monkeypatch):
    def silence(self, net, images, labels):
        given.append((images, labels))

    def prepare(self, net, steps):
        raise AssertionError

    given = []
    monkeypatch.setattr(get_method("magnitude_filter"), "silence", silence)
    monkeypatch.setattr(get_method("magnitude_filter"), "prepare", prepare)
    trial = make("magnitude_filter")
    assert run(trial, train_base(trial)).status == "ok"
    ((images, labels),), data = given, examples(trial)
    assert torch.equal(images, data.pixels(data.train.images))
    assert torch.equal(labels, data.train.labels)


def test_a_watched_training_is_that_of_the_trial():
    trial = make("implicit", epochs=3)
    history = train_watched(trial, trial_module.make_method(trial.setting, trial.seed))
    assert history.finite_epochs() == run(trial, None).history


def test_a_task_of_which_nothing_can_be_removed_is_one_clear_line():
    check_task(make("dense"))
    with pytest.raises(UsageError, match=r"^task digits-vgg11: .+"):
        check_task(make("dense", task=Task(dataset="digits", network="vgg11")))


def test_an_error_is_explained_by_its_kind_its_first_line_and_its_innermost_place():
    code = {"inner.py": "\n\ndef inner(): raise RuntimeError('no\\nmore')", "middle.py": "def middle(): inner()"}
    names = {}
    for file, text in code.items():
        exec(compile(text, f"/somewhere/{file}", "exec"), names)
    with pytest.raises(RuntimeError) as caught:
        names["middle"]()
    assert explain(caught.value) == "RuntimeError: no (inner.py:3)"
    assert explain(ValueError("one\ntwo")) == "ValueError: one"
    assert explain(ValueError()) == "ValueError: "


def test_a_base_network_is_trained_once_and_kept(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr("benchmark.runner.in_process.train_base", lambda *a: trained.append(a) or train_base(*a))
    trials = [make("magnitude_filter", ratio=r) for r in (0.25, 0.5)] + [make("random_filter", ratio=0.5)]
    first, again = [], []
    run_in_process(trials, Resources(), Destination(Store(tmp_path), first.append))
    run_in_process(trials, Resources(), Destination(Store(tmp_path), again.append))
    assert len(trained) == 1
    assert [r.stage_accuracy for r in first] == [r.stage_accuracy for r in again]
    assert first[0].base_seconds == again[0].base_seconds > 0


def test_network_slimming_is_trained_once_for_all_ratios():
    narrow, wide = (make("network_slimming", ratio=ratio) for ratio in (0.2, 0.6))
    assert narrow.key != wide.key
    assert narrow.base_key == wide.base_key
    assert narrow.base_key != make("network_slimming", ratio=0.2, strength=1e-3).base_key
    base = train_base(narrow)
    trained, alone = run(wide, base), train_base(wide)
    assert trained.status == "ok"
    assert trained.channel_sparsity == 0.5  # 0.6 of 8 channels, rounded down
    assert all(torch.equal(base[0][name], alone[0][name]) for name in base[0])


def test_a_method_whose_knob_is_no_number_cannot_be_its_own_base():
    setting = MethodSetting(method="dense", version=1, hyperparameters={})
    with pytest.raises(UsageError, match=r"^dense is its own base, so its knob has to be a number$"):
        shared_training(setting)


def test_a_shape_that_does_not_fit_the_network_is_a_failed_record_of_one_line():
    record = result("scratch", left="4-4")
    assert record.status == "failed"
    assert record.error.startswith("ValueError: left = '4-4' does not fit groups of 8: ")
    fitting = result("scratch", left="3", ratio=0.625)
    assert (fitting.status, fitting.channels_left, fitting.channel_sparsity) == ("ok", {"1": 3}, 0.625)
    assert len(fitting.history["loss"]) == 4


@pytest.mark.usefixtures("faulty_methods")
def test_an_error_below_a_method_is_explained_by_the_methods_own_line_too():
    get_method("raises")
    faulty, names = sys.modules["faulty"], {}
    exec(compile("def deep(*_): raise RuntimeError('no')", "/somewhere/torch/deep.py", "exec"), names)
    lines = Path(faulty.__file__).read_text().splitlines()
    method = get_method("fails_deep")(torch.Generator())
    method.deep = names["deep"]
    with pytest.raises(RuntimeError) as caught:
        method.after_step(None, 0.1)
    place = 1 + next(i for i, line in enumerate(lines) if "self.deep(net)" in line)
    assert explain(caught.value) == f"RuntimeError: no (faulty.py:{place}, in deep.py:1)"

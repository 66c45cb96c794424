import pytest
import torch

from benchmark.experiment.record import Record
from benchmark.experiment.trial import MethodSetting, Protocol, Task, Trial, shared_training
from benchmark.method.registry import get_method
from benchmark.runner import trial as trial_module
from benchmark.runner.in_process import BaseStore, Resources, run_in_process
from benchmark.runner.trial import Base, run, train_base


def make(method, epochs=4, task=None, seed=0, **hyperparameters):
    def setting(name, values):
        kind = get_method(name)
        return MethodSetting(method=name, version=kind.version, hyperparameters=kind.validate(values))

    own, base = setting(method, hyperparameters), get_method(method).base
    return Trial(
        study="test", label=method, task=task or Task(dataset="simulated", network="mlp", widths=(8,)),
        setting=own, base=shared_training(own) if base == method else setting(base, {}) if base else None,
        protocol=Protocol(epochs=epochs), seed=seed,
    )  # fmt: skip


def result(method, **options) -> Record:
    trial = make(method, **options)
    base: Base | None = train_base(trial) if trial.base else None
    return run(trial, base)


def digits(strength, optimizer="adam", learning_rate=0.01):
    """The default study's network on its data, with two thirds of its epochs."""
    task = Task(dataset="digits", network="mlp", widths=(256,))
    return result(
        "implicit", task=task, epochs=200, strength=strength, optimizer=optimizer, learning_rate=learning_rate
    )


def test_adam_with_l2_removes_and_momentum_or_no_l2_do_not():
    implicit = digits(0.03)
    assert implicit.status == "ok"
    assert implicit.channel_sparsity > 0.05
    assert implicit.test_accuracy > 0.9
    assert digits(0.0).channel_sparsity == 0
    assert digits(0.03, optimizer="momentum", learning_rate=0.1).channel_sparsity == 0
    assert digits(0.03, optimizer="adamw").channel_sparsity == 0


def test_record_is_complete_and_consistent():
    record = result("magnitude_filter", ratio=0.5)
    assert record.status == "ok"
    assert list(record.stage_accuracy) == ["trained", "silenced", "reduced", "fine_tuned"]
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
    assert len(record.threshold_sweep) == 17
    assert len(record.history["loss"]) == 1  # one of the four epochs is the fine-tuning, the base had three
    assert record.key == record.expected_key()
    assert {"device", "cpu", "threads"} <= set(record.provenance)
    assert Record.model_validate_json(record.model_dump_json(exclude_defaults=True)) == record


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
    volatile = {"created", "train_seconds", "peak_memory", "latency"}
    assert first.model_dump(exclude=volatile) == again.model_dump(exclude=volatile)
    assert first.history != other.history
    nets = [
        trial_module._network(t, trial_module._data(t, torch.device("cpu")), torch.device("cpu")).module.state_dict()
        for t in (make("implicit"), make("l1"))
    ]
    assert all(torch.equal(nets[0][key], nets[1][key]) for key in nets[0])


def test_a_trial_leaves_global_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    result("implicit")
    assert torch.equal(torch.get_rng_state(), before)


def test_base_training_is_the_first_part_of_the_dense_trial():
    trial = make("magnitude_filter", epochs=8)
    _, dense_history = train_base(trial), result("dense", epochs=8).history
    record = run(trial, train_base(trial))
    assert trial.stages == (6, 6)
    assert record.stage_accuracy["trained"] == dense_history["val_accuracy"][5]


@pytest.mark.parametrize(
    ("method", "status", "words"),
    [
        ("raises", "failed", "RuntimeError: deliberate (faulty.py"),
        ("diverges", "diverged", "loss nan in epoch 1"),
        ("prunes_all", "collapsed", None),
    ],
)
def test_bad_endings_are_records(faulty_methods, method, status, words):
    record = result(method)
    assert record.status == status
    if words:
        assert words in record.error
        assert "\n" not in record.error
    else:
        assert record.channels_left == {"1": 1}
        assert record.test_accuracy < 0.5
    assert Record.model_validate_json(record.model_dump_json(exclude_defaults=True)) == record


def test_trials_whose_base_failed_are_skipped(faulty_methods, tmp_path):
    diverging = make("diverges").setting
    trial = make("magnitude_filter").model_copy(update={"base": diverging})
    records = []
    run_in_process([trial], BaseStore(tmp_path), Resources(), records.append)
    assert records[0].status == "skipped"
    assert "DivergedError: loss nan" in records[0].error
    assert not list(tmp_path.iterdir())


def test_a_base_network_is_trained_once_and_kept(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr("benchmark.runner.in_process.train_base", lambda *a: trained.append(a) or train_base(*a))
    trials = [make("magnitude_filter", ratio=r) for r in (0.25, 0.5)] + [make("random_filter", ratio=0.5)]
    first, again = [], []
    run_in_process(trials, BaseStore(tmp_path), Resources(), first.append)
    run_in_process(trials, BaseStore(tmp_path), Resources(), again.append)
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

"""What a method changes of its process reaches no other trial, and its record says so."""

import builtins
import json
import os
import random
import sys
import time
import warnings
from pathlib import Path
from subprocess import check_output

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark.errors import UsageError
from benchmark.experiment.store import Store
from benchmark.experiment.trial import MethodSetting, Protocol, Task, Trial
from benchmark.method import Method, training
from benchmark.method.interface import OPTIMIZERS
from benchmark.method.registry import get_method, registry
from benchmark.networks import measure
from benchmark.runner import hygiene
from benchmark.runner.hygiene import Room
from benchmark.runner.in_process import Destination, Resources, run_in_process
from benchmark.runner.trial import examples

PROTOCOL = Protocol(epochs=2)
VOLATILE = {"created", "train_seconds", "peak_memory"}


def make(name, seed=0):
    method = get_method(name)
    setting = MethodSetting(method=name, version=method.version, hyperparameters=method.validate({}))
    task = Task(dataset="simulated", network="mlp", widths=(8,))
    return Trial(
        study="test", label=name, task=task, setting=setting, base=None, protocol=PROTOCOL, seed=seed, fine_tune=False
    )


@pytest.fixture
def meddling(monkeypatch):
    """Registers `meddles`, a method that does what it is given at its last moment."""

    def register(action):
        class Meddles(Method):
            title, reference, knob, space = "Meddles", "test", None, training("sgd", 0.1)

            def silence(self, net, images, labels):
                action(monkeypatch)

        monkeypatch.setitem(registry().methods, "meddles", Meddles)

    return register


def run(trials, folder):
    records = []
    run_in_process(trials, Resources(), Destination(Store(folder), records.append))
    return records


def told(record):
    return record.model_dump(exclude=VOLATILE)


def patch(owner, name, value):
    """An action that patches; the fixture's own undoing is for a test that fails."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, value)


def nothing(*args, **kwargs):
    return None


def constant(*args, **kwargs):
    return torch.zeros((), requires_grad=True)


def overwrite(_):
    examples(make("dense")).train.labels.zero_()


def overwrite_unseen_by_torch(_):
    examples(make("dense")).validation.pool.numpy()[:] = 0


ACTIONS = {
    "torch's threads": lambda _: torch.set_num_threads(2),
    "the default dtype": lambda _: torch.set_default_dtype(torch.float64),
    "the default device": lambda _: torch.set_default_device("meta"),
    "the gradient mode": lambda _: torch.set_grad_enabled(False),
    "anomaly detection": lambda _: torch.autograd.set_detect_anomaly(True),
    "deterministic algorithms": lambda _: torch.use_deterministic_algorithms(True, warn_only=True),
    "the precision of matmul": lambda _: torch.set_float32_matmul_precision("medium"),
    "cuDNN's flags": lambda _: setattr(torch.backends.cudnn, "benchmark", True),
    "denormal numbers": lambda _: torch.set_flush_denormal(True),
    "hooks of all modules": lambda _: torch.nn.modules.module.register_module_forward_hook(nothing),
    "Python's random state": lambda _: random.random(),
    "NumPy's random state": lambda _: np.random.seed(1),
    "the working directory": lambda _: os.chdir("/"),
    "the environment": lambda _: os.environ.update(OMP_NUM_THREADS="7", NEW="1"),
    "the data": overwrite,
    "torch.nn.functional.cross_entropy": patch(F, "cross_entropy", constant),
    "torch.nn.modules.activation.ReLU.forward": patch(torch.nn.ReLU, "forward", lambda self, x: x),
    "torch.nn.modules.activation.ReLU.__call__": lambda _: setattr(torch.nn.ReLU, "__call__", lambda self, x: x),
    "torch.relu": patch(torch, "relu", nothing),
    "torch.Tensor.backward": patch(torch.Tensor, "backward", nothing),
    "torch.optim.sgd.SGD.step": patch(torch.optim.SGD, "step", nothing),
    "benchmark.networks.measure.parameters": patch(measure, "parameters", nothing),
    "baselines.dense.Dense.silence": lambda _: setattr(get_method("dense"), "silence", nothing),
    "builtins.len": patch(builtins, "len", lambda x: 1),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_what_a_method_changes_reaches_no_later_trial_and_its_record_says_so(name, meddling, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = run([make("dense", seed=1)], tmp_path)
    before = [part.get() for part in hygiene.PARTS]
    meddling(ACTIONS[name])
    first, meddler, last = run([make("dense"), make("meddles"), make("dense", seed=1)], tmp_path)
    assert name in meddler.side_effects
    assert set(meddler.side_effects) - {name} <= {"torch.Storage"}  # it is that of the default dtype
    assert first.side_effects == last.side_effects == []
    assert told(last) == told(alone[0])
    assert [part.get() for part in hygiene.PARTS] == before


def test_data_that_torch_did_not_see_change_are_found_by_their_bytes(meddling, tmp_path):
    meddling(overwrite_unseen_by_torch)
    alone = run([make("dense")], tmp_path)
    meddler, last = run([make("meddles"), make("dense")], tmp_path)
    assert meddler.side_effects == ["the data"]
    assert told(last) == told(alone[0])


def test_filters_of_warnings_are_put_back_unsaid(meddling, tmp_path):
    before = list(warnings.filters)
    meddling(lambda _: warnings.simplefilter("error"))
    (record,) = run([make("meddles")], tmp_path)
    assert record.side_effects == []
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("end", "words"),
    [(lambda _: os._exit(3), "SystemExit: 3"), (lambda _: sys.exit("enough"), "SystemExit: enough")],
)
def test_a_method_that_ends_the_process_fails_alone(end, words, meddling, tmp_path):
    meddling(end)
    bad, good = run([make("meddles"), make("dense")], tmp_path)
    assert bad.status == "failed"
    assert words in bad.error
    assert good.status == "ok"


def test_a_process_that_a_method_forks_ends_as_it_wishes(meddling, tmp_path):
    ended = []

    def fork(_):
        child = os.fork()
        if not child:
            os._exit(5)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    meddling(fork)
    assert run([make("meddles")], tmp_path)[0].status == "ok"
    assert ended == [5]


def test_what_cannot_be_put_back_ends_the_run_after_its_record(meddling, tmp_path):
    entered = []

    def infer(_):
        entered.append(torch.inference_mode())
        entered[0].__enter__()

    meddling(infer)
    records = []
    with pytest.raises(UsageError, match=r"^meddles changed the inference mode, .* run without --in-process$"):
        run_in_process([make("meddles"), make("dense")], Resources(), Destination(Store(tmp_path), records.append))
    entered[0].__exit__(None, None, None)
    assert [r.label for r in records] == ["meddles"]


def test_a_base_that_changes_its_process_leaves_it_as_it_was(meddling, monkeypatch, tmp_path):
    alone = run([make("dense")], tmp_path)
    meddling(nothing)
    monkeypatch.setattr(registry().methods["meddles"], "prepare", lambda *a: torch.set_default_dtype(torch.float64))
    pruned = MethodSetting(method="random_filter", version=1, hyperparameters=get_method("random_filter").validate({}))
    started = make("meddles").model_copy(update={"setting": pruned, "base": make("meddles").setting})
    run([started], tmp_path)
    assert torch.get_default_dtype() == torch.float32
    assert told(run([make("dense")], tmp_path)[0]) == told(alone[0])


def test_memory_that_grows_is_said(meddling, tmp_path, monkeypatch):
    taken = [0]
    monkeypatch.setattr(hygiene, "_memory", lambda: taken[0])
    meddling(lambda _: taken.append(taken.pop() + hygiene.GROWTH + 1))
    first, meddler = run([make("dense"), make("meddles")], tmp_path)
    assert first.side_effects == []
    assert meddler.side_effects == ["memory"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's memory")
def test_the_memory_of_a_process_counts_what_it_keeps():
    """In a process of its own: in this one, what earlier tests have left is freed at any time."""
    before, after = json.loads(
        check_output(
            [
                sys.executable,
                "-c",
                "import numpy as np; from benchmark.runner.hygiene import _memory; "
                "before = _memory(); kept = np.ones(2**24); print([before, _memory()])",
            ]
        )
    )
    assert 2**27 <= after - before < 2**27 + 2**24


def test_the_first_use_of_an_optimiser_is_no_patch():
    """Torch wraps the step of each kind then."""
    room, trial = Room(), make("dense")
    room.enter(trial)
    for optimizer, options in OPTIMIZERS.values():
        optimizer([torch.nn.Parameter(torch.zeros(1))], lr=0.1, **options)
    assert room.leave().changed == []


def test_looking_costs_little():
    """3 ms are usual; the bound is for a machine that does other things too."""
    room, trial = Room(), make("dense")
    room.enter(trial)
    room.leave()
    durations = []
    for _ in range(5):
        started = time.process_time()
        room.enter(trial)
        room.leave()
        durations.append(time.process_time() - started)
    assert min(durations) < 0.02

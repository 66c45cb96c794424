"""A trial that is broken off goes on from its state, and only from its own."""

import json
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark import own_files
from benchmark.errors import UsageError
from benchmark.experiment.trial import Task
from benchmark.method.registry import registry
from benchmark.runner import binding, states
from benchmark.runner.environment import software
from benchmark.runner.hygiene import Room
from benchmark.runner.in_process import run_one
from benchmark.runner.interruptions import BrokenOffError, Interrupting
from benchmark.runner.states import Kept, StateFolder, States
from benchmark.runner.trial import run, train_base
from tests.runner.test_trial import make
from tests.support.stored import rewrite

VOLATILE = {"created", "train_seconds", "base_seconds", "peak_memory", "provenance"}
UNUSED = "implicit begins its training anew, its state is not used: "
NETS = """
from torch import nn

def build(classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(12, classes),
    )
"""
VARIANTS = [
    *((name, {}) for name in sorted(registry().methods)),
    ("implicit", {"optimizer": "amsgrad"}),
    ("implicit", {"optimizer": "adadelta"}),
    ("implicit", {"optimizer": "rmsprop"}),
    ("implicit", {"optimizer": "adagrad"}),
    ("l1", {"optimizer": "adam"}),
    ("l1", {"optimizer": "adam", "form": "subgradient"}),
    ("hard_concrete", {"averaging": 0.9, "decay": 1e-4}),
    ("dwf", {"depth": "4"}),
    ("rewa", {"optimizer": "adamw"}),
    ("gradual_magnitude", {"scope": "global"}),
]


def alike(one, other):
    return one.model_dump(exclude=VOLATILE) == other.model_dump(exclude=VOLATILE)


def with_base(trial):
    return train_base(trial) if trial.base else None


def broken_off(trial, base, storage, after):
    """Runs a trial until so many states have been written."""
    storage.left = after
    with pytest.raises(BrokenOffError):
        run(trial, base, kept=storage.kept(trial))


@pytest.mark.parametrize(("method", "values"), VARIANTS, ids=lambda value: value if isinstance(value, str) else "")
def test_broken_off_at_each_epoch_a_run_ends_as_an_undisturbed_one(method, values):
    trial = make(method, epochs=6, **values)
    base = with_base(trial)
    whole, storage = run(trial, base), Interrupting()
    own = trial.protocol.epochs - trial.stages[0] if method != "checkpoint" else 0
    for _ in range(own):
        broken_off(trial, base, storage, after=1)  # so that each run adds one epoch
    record = run(trial, base, kept=storage.kept(trial))
    assert storage.said == []
    assert alike(record, whole)
    assert len(record.history["loss"]) == own


def test_methods_were_found():
    assert len(VARIANTS) > 30


def test_what_draws_from_global_random_state_goes_on_where_it_was(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    own = own_files.look_up("nets.py:build", tmp_path)
    task = Task(dataset="simulated", network="nets.py:build", network_sha256=own.sha256)
    trial, storage = make("growing_reg", epochs=8, task=task), Interrupting()
    base = train_base(trial)
    for after in (1, 2, 1):
        broken_off(trial, base, storage, after)
    assert alike(run(trial, base, kept=storage.kept(trial)), run(trial, base))
    assert storage.said == []


def test_the_seconds_spent_before_count():
    trial, storage = make("dense", epochs=3), Interrupting()
    broken_off(trial, None, storage, after=2)
    name = f"{trial.key}-training.npz"
    about, tensors = states.unpack(storage.contents[name], f"{trial.key} training", {})
    text, spent = re.subn(r'(\["seconds", \["plain", )[\d.e-]+', r"\g<1>1000.0", json.dumps(about))
    storage.contents[name] = states.pack(f"{trial.key} training", json.loads(text), tensors)
    assert spent == 1
    assert 1000 < run(trial, None, kept=storage.kept(trial)).train_seconds < 1060


def test_a_base_network_goes_on_too():
    trial, storage = make("magnitude_filter", epochs=8), Interrupting()
    whole, _ = train_base(trial)
    for _ in range(2):
        storage.left = 2
        with pytest.raises(BrokenOffError):
            train_base(trial, kept=replace(storage.kept(trial), key=trial.base_key))
    found, _ = train_base(trial, kept=replace(storage.kept(trial), key=trial.base_key))
    assert storage.said == []
    assert all(torch.equal(found[name], whole[name]) for name in whole)


class Held(dict):
    """States in memory, to which none is added."""

    def read(self, name):
        return self.get(name)

    def write(self, name, content):
        pass


class Folder:
    """The states of a trial in a folder, broken off after three epochs of training."""

    def __init__(self, path, monkeypatch):
        monkeypatch.setattr(states, "INTERVAL", 0)
        self.folder, self.said, self.trial = StateFolder(path / "states"), [], make("implicit", epochs=5)
        with monkeypatch.context() as patch:
            patch.setattr(StateFolder, "write", self.write)
            with pytest.raises(BrokenOffError):
                self.run()
        self.path = path / "states" / f"{self.trial.key}-training.npz"
        assert self.path.exists()

    def write(self, name, content):
        states.write_whole(self.folder.folder / name, content)
        self.written = getattr(self, "written", 0) + 1
        if self.written == 3:
            raise BrokenOffError

    def given(self):
        """With what the state was made, its storage aside."""
        made = States(self.folder, "cpu").of(self.trial, self.said.append)
        return made.key, made.device, made.made, made.say, made.interval

    def run(self, trial=None, device="cpu"):
        """The record, and how many epochs were trained for it."""
        trial = trial or self.trial
        made = States(self.folder, device).of(trial, self.said.append)
        made.device = device
        epochs, ended = [], made.epoch_ended
        made.epoch_ended = lambda *given: epochs.append(given) or ended(*given)
        return run(trial, None, kept=made), len(epochs)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return Folder(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def whole():
    return run(make("implicit", epochs=5), None)


def stronger(entries):
    next(x for x in entries.values() if x.dtype == np.float32)[:] *= 1.5


def further(entries):
    about = json.loads(str(entries["about"]))
    entries["about"] = np.array(json.dumps({**about, "epochs": 4}))


def test_a_state_that_fits_is_used(folder, whole):
    record, epochs = folder.run()
    assert (epochs, folder.said) == (2, [])
    assert alike(record, whole)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: rewrite(path, stronger), "it was changed"),
        (lambda path: rewrite(path, further), "it was changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "it cannot be read (BadZipFile)"),
        (lambda path: path.write_bytes(b""), "it cannot be read"),
        (lambda path: path.write_bytes(pickle.dumps({})), "it cannot be read"),
        (lambda path: path.unlink() or path.mkdir(), "cannot read"),
    ],
)
def test_a_state_that_was_changed_or_torn_is_not_used(folder, whole, damage, words):
    damage(folder.path)
    record, epochs = folder.run()
    assert epochs == 5
    assert alike(record, whole)
    assert folder.said[0].startswith(UNUSED)
    assert words in folder.said[0]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), content=st.binary(min_size=1, max_size=50))
def test_no_damage_to_a_state_changes_a_record(folder, whole, place, content):
    state = bytearray(folder.path.read_bytes())
    start = int(place * len(state))
    state[start : start + len(content)] = content
    name = folder.path.name
    assert alike(run(folder.trial, None, kept=Kept(Held({name: bytes(state)}), *folder.given())), whole)


def test_a_state_of_another_seed_is_not_used(folder):
    other = folder.trial.model_copy(update={"seed": 1})
    (folder.path.parent / f"{other.key}-training.npz").write_bytes(folder.path.read_bytes())
    record, epochs = folder.run(other)
    assert epochs == 5
    assert folder.said == [
        "implicit begins its training anew, its state is not used: it was made of other first weights"
    ]
    assert alike(record, run(other, None))


def test_a_state_under_the_name_of_another_trial_is_not_used(folder):
    other = make("implicit", epochs=5, strength=0.5)
    (folder.path.parent / f"{other.key}-training.npz").write_bytes(folder.path.read_bytes())
    assert folder.run(other)[1] == 5
    assert folder.said == [UNUSED + "it was changed"]


@pytest.mark.parametrize(
    ("module", "name", "value", "words"),
    [
        (binding, "_code", b"", "code"),
        (binding, "content", "", "data"),
        (states, "hardware", {"cpu": "another"}, "hardware or versions"),
        (states, "versions", {"torch": "another"}, "hardware or versions"),
    ],
)
def test_a_state_of_other_code_data_or_machine_is_not_used(folder, monkeypatch, module, name, value, words):
    """Of two processors the record would name one."""
    monkeypatch.setattr(module, name, lambda *_: value)
    assert folder.run()[1] == 5
    assert folder.said == [UNUSED + f"it was made of other {words}"]


def test_a_trial_whose_method_cannot_be_captured_says_so_once_and_runs(folder, monkeypatch, whole):
    method = registry().methods["implicit"]
    monkeypatch.setattr(method, "prepare", lambda self, net, steps: setattr(self, "cached", {1}))
    folder.path.unlink()
    record, _ = folder.run()
    assert folder.said == ["implicit cannot be resumed if it is broken off: method.cached is a set"]
    assert alike(record, whole)
    assert not folder.path.exists()


def test_a_disk_that_is_full_costs_the_state_alone(folder, monkeypatch, whole):
    def write(self, name, content):
        raise UsageError("cannot write: full")

    folder.path.unlink()
    monkeypatch.setattr(StateFolder, "write", write)
    assert alike(folder.run()[0], whole)
    assert folder.said == ["implicit keeps no state: cannot write: full"]


def test_a_worker_says_what_is_not_used(folder):
    folder.path.write_bytes(b"")
    said = []
    record, *_ = run_one(folder.trial, {}, States(folder.folder, "cpu"), software(), Room(), said.append, keep=False)
    assert record.status == "ok"
    assert len(said) == 1

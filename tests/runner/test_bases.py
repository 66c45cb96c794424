"""A stored base network is used only where it is the very one that the trial would train."""

import io
import json
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark import own_files
from benchmark.data.names import ENVIRONMENT
from benchmark.experiment.trial import MethodSetting, Protocol, Task, Trial
from benchmark.method.registry import get_method
from benchmark.runner import binding
from benchmark.runner.bases import BaseStore
from benchmark.runner.trial import run, train_base
from tests.support.made_data import make_mnist
from tests.support.stored import rewrite

NETS = """
import torch
from torch import nn

class Centred(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width), persistent=False)

    def forward(self, x):
        if not self.training:
            return x - self.mean
        self.mean.lerp_(x.detach().mean(0), 0.1)
        return x - x.mean(0)

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), Centred(12), nn.Linear(12, classes))
"""


def make(dataset="simulated", seed=0):
    def setting(name):
        return MethodSetting(method=name, version=1, hyperparameters=get_method(name).validate({}))

    task = Task(dataset=dataset, network="mlp", widths=(8,))
    protocol = Protocol(epochs=2)
    own = {"study": "test", "label": "m", "seed": seed, "task": task, "protocol": protocol}
    return Trial(**own, setting=setting("magnitude_filter"), base=setting("dense"))


@pytest.fixture(scope="module")
def trained():
    return train_base(make())


@pytest.fixture
def store(tmp_path, trained):
    said = []
    made = BaseStore(tmp_path / "bases", said.append)
    made.save(make(), trained)
    made.said = said
    return made


def path_of(store, trial=None):
    return store.folder / f"{(trial or make()).base_key}.npz"


def stronger(entries):
    entries["state/1.weight" if "state/1.weight" in entries else sorted(entries)[-1]] *= 1.5


def not_a_number(entries):
    next(x for name, x in entries.items() if name.endswith("weight"))[:] = np.nan


def reshaped(entries):
    name = next(name for name in entries if name.endswith("weight"))
    entries[name] = entries[name].reshape(-1)


def without_one(entries):
    del entries[next(name for name in entries if name.endswith("weight"))]


def quicker(entries):
    about = json.loads(str(entries["about"]))
    entries["about"] = np.array(json.dumps({**about, "seconds": 0.0}))


def told_nothing(entries):
    entries["about"] = np.array("[]")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('it went off')",)


def test_a_stored_network_is_what_was_trained(store, trained):
    state, seconds = store.load(make())
    assert seconds == trained[1]
    assert state.keys() == trained[0].keys()
    assert all(torch.equal(state[name], trained[0][name]) for name in state)
    assert store.said == []
    assert store.load(make(seed=1)) is None
    assert store.said == []  # there is none: nothing to say


@pytest.mark.parametrize("change", [stronger, not_a_number, reshaped, without_one, quicker, told_nothing])
def test_one_that_was_changed_is_not_taken(change, store):
    rewrite(path_of(store), change)
    assert store.load(make()) is None
    assert len(store.said) == 1
    assert str(path_of(store)) in store.said[0]
    assert "is trained again: " in store.said[0]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"[]", pickle.dumps(Bomb()), b"\x93NUMPY"])
def test_a_file_that_is_no_network_is_not_taken(content, store):
    path_of(store).write_bytes(content)
    assert store.load(make()) is None
    assert "it cannot be read" in store.said[0]


def test_a_pickle_in_the_file_does_not_go_off(store):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path_of(store), "a") as file:
        file.writestr("state/bomb.npy", buffer.getvalue())
    assert store.load(make()) is None


def test_a_torn_file_and_a_folder_are_not_taken(store):
    path = path_of(store)
    path.write_bytes(path.read_bytes()[:-40])
    assert store.load(make()) is None
    path.unlink()
    path.mkdir()
    assert store.load(make()) is None
    assert len(store.said) == 2


def test_exchanged_files_are_not_taken(store):
    other = make(seed=1)
    store.save(other, train_base(other))
    one, two = path_of(store), path_of(store, other)
    one_content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(one_content)
    assert store.load(make()) is store.load(other) is None
    assert all("it was changed" in line for line in store.said)


def test_one_of_yesterdays_data_is_not_taken(tmp_path, monkeypatch):
    said = []
    store, trial = BaseStore(tmp_path / "bases", said.append), make("mnist")
    for day in range(2):
        make_mnist(tmp_path / str(day), train=200, seed=day)
        monkeypatch.setenv(ENVIRONMENT, str(tmp_path / str(day)))
        assert store.load(trial) is None
        store.save(trial, train_base(trial))
        assert store.load(trial) is not None
    assert len(said) == 1
    assert "it was made of other data" in said[0]


def test_one_of_other_code_is_not_taken(store, monkeypatch):
    monkeypatch.setattr(binding, "_code", lambda: b"other")
    assert store.load(make()) is None
    assert "it was made of other code" in store.said[0]


def test_code_is_that_of_each_method_that_trains(tmp_path, monkeypatch):
    """A method may lie outside of the package: in `baselines`, or in one of a user's."""
    files = SimpleNamespace(getsourcefile=lambda method: str(tmp_path / method.__name__))
    monkeypatch.setattr(binding, "inspect", files)
    trial, found = make(), []
    for texts in (("a", "b"), ("a", "c"), ("d", "b"), ("a", "b")):
        for setting, text in zip((trial.setting, trial.base), texts, strict=True):
            (tmp_path / get_method(setting.method).__name__).write_text(text)
        found.append(binding.made_of(trial, trial.setting, trial.base)["code"])
    assert len(set(found[:3])) == 3
    assert found[3] == found[0]


@given(data=st.data())
def test_no_damage_to_a_file_passes_or_raises(tmp_path_factory, trained, data):
    store = BaseStore(tmp_path_factory.mktemp("damaged"), lambda line: None)
    store.save(make(), trained)
    content = bytearray(path_of(store).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(1, 50))] = data.draw(st.binary(max_size=50))
    path_of(store).write_bytes(content)
    found = store.load(make())
    assert found is None or all(torch.equal(found[0][name], trained[0][name]) for name in trained[0])


def test_a_trial_starts_from_all_of_its_base_even_what_no_state_dict_holds(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    sha256 = own_files.look_up("nets.py:build", tmp_path).sha256
    task = Task(dataset="simulated", network="nets.py:build", network_sha256=sha256)
    trial = make().model_copy(update={"task": task, "protocol": Protocol(epochs=8), "fine_tune": False})
    record = run(trial, train_base(trial))
    assert record.stage_accuracy["trained"] == run(trial.base_trial, None).stage_accuracy["trained"]

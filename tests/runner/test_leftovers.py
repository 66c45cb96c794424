"""Which states lie beside the records: of trainings under way, and of long ones alone."""

import pytest

from benchmark.experiment.store import Store
from benchmark.runner import states
from benchmark.runner.in_process import Destination, Resources, run_in_process
from benchmark.runner.states import StateFolder, States
from benchmark.runner.trial import failed as failure
from benchmark.runner.trial import run
from tests.runner.test_trial import make


def test_a_short_trial_writes_nothing(tmp_path, monkeypatch):
    folder, said = StateFolder(tmp_path / "states"), []
    monkeypatch.setattr(StateFolder, "write", lambda *_: pytest.fail("it writes"))
    run(make("dense"), None, kept=States(folder, "cpu").of(make("dense"), said.append))
    assert states.INTERVAL == 60
    assert said == []


def test_what_has_its_record_has_no_state_and_leftovers_go(tmp_path, monkeypatch):
    monkeypatch.setattr(states, "INTERVAL", 0)
    store, trial, failed, under_way = Store(tmp_path), make("magnitude_filter"), make("dense"), make("dense", seed=5)
    destination, folder = Destination(store, store.append), tmp_path / "states"
    run_in_process([trial], Resources(), destination)
    store.append(failure(failed, "failed", "once", {}))
    assert [record.status for record in store.load()] == ["ok", "failed"]
    assert list(folder.iterdir()) == []
    done = [f"{trial.key}-training.npz", f"{trial.key}-fine-tuning.npz", f"{trial.base_key}-training.npz"]
    open_ones = {f"{failed.key}-training.npz", f"{under_way.key}-fine-tuning.npz"}  # one was begun once more
    for name in [*done, *open_ones]:
        (folder / name).write_bytes(b"left")
    run_in_process([], Resources(), destination)
    assert {path.name for path in folder.iterdir()} == open_ones

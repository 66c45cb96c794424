"""Killed in the middle of a trial, on the real Ray path: its training goes on from its last state."""

import os
import signal
import time

import pytest

from tests.runner.test_on_ray import FEW, finish, results, start


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A folder in which the methods Mortal and Slow count their steps; states are kept after every epoch."""
    folder = tmp_path / "steps"
    folder.mkdir()
    monkeypatch.setenv("STEPS", str(folder))
    monkeypatch.setenv("KEEP_STATES", "1")
    return folder


@pytest.mark.usefixtures("faulty_methods")
def test_a_trial_whose_worker_is_killed_goes_on_from_its_state(steps, deadweight, tmp_path):
    """And so does the training of a base network. An epoch has four steps; both die in the tenth."""
    (tmp_path / "tiny.toml").write_text(
        FEW.partition("[methods.dense]")[0].replace("[0, 1]", "[0]") + "[methods.mortal]\n[methods.mortal_base]\n"
    )
    code, output = finish("run", "tiny.toml", cwd=tmp_path)
    assert code == 0, output
    assert {path.name: path.stat().st_size for path in steps.iterdir()} == {"16": 10 + 8, "12": 10 + 4}
    assert list((tmp_path / "results" / "tiny" / "states").iterdir()) == []
    assert deadweight("run", "tiny.toml", "--in-process", "--results", "undisturbed")[0] == 0
    assert {path.name: path.stat().st_size for path in steps.iterdir()} == {"16": 18 + 16, "12": 14 + 12}
    found, undisturbed = results(tmp_path / "results" / "tiny"), results(tmp_path / "undisturbed" / "tiny")
    assert [record.pop("losses", 0) for record in found.values()] in ([0, 1], [1, 0])
    assert found == undisturbed


@pytest.mark.usefixtures("faulty_methods")
def test_a_trial_whose_driver_is_killed_goes_on_from_its_state(steps, deadweight, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        FEW.partition("[methods.dense]")[0].replace("[0, 1]", "[0]").replace("= 4", "= 30") + "[methods.slow]\n"
    )
    folder = tmp_path / "results" / "tiny"
    process = start("run", "tiny.toml", cwd=tmp_path)
    deadline = time.monotonic() + 300
    while not list(folder.glob("states/*.npz")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    made = 0
    while made < (made := (steps / "120").stat().st_size):  # its worker soon notices
        time.sleep(1)
    assert made < 120
    code, output = finish("run", "tiny.toml", cwd=tmp_path)
    assert code == 0, output
    assert "not used" not in output
    assert (steps / "120").stat().st_size <= 120 + 4  # but for what the last epoch had begun, none was made twice
    assert list((folder / "states").iterdir()) == []
    assert deadweight("run", "tiny.toml", "--in-process", "--results", "undisturbed")[0] == 0
    assert results(folder) == results(tmp_path / "undisturbed" / "tiny")

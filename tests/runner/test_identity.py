"""What tells two machines apart, and what does not."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark import own_files
from benchmark.data.load import load
from benchmark.runner import identity
from benchmark.runner.identity import Identity, fetch, identify, question
from benchmark.runner.luggage import own_modules, pack, place, unpack
from tests.runner.test_trial import make


def test_the_same_machine_is_the_same():
    asked = question([make("dense"), make("implicit")], fetch=False)
    assert asked.modules[:3] == ("benchmark", "methods", "baselines")
    assert len(asked.trials) == 1  # of one dataset
    assert identify(asked).differences(identify(asked)) == []


def test_a_build_of_torch_does_not_count_and_a_version_does(monkeypatch):
    asked = question([make("dense")], fetch=False)
    here = identify(asked)
    release = torch.__version__.partition("+")[0]
    monkeypatch.setattr(torch, "__version__", f"{release}+another")
    assert identify(asked).differences(here) == []
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert identify(asked).differences(here) == [f"torch is 1.0 there, {release} here"]


def test_the_users_own_methods_count(faulty_methods, tmp_path):
    assert own_modules() == ["faulty"]
    asked = question([make("dense")], fetch=False)
    here = identify(asked)
    shutil.copytree(place("faulty").parent, tmp_path / "faulty")
    (tmp_path / "faulty" / "faulty.py").open("a").write("\n")
    sys.modules["faulty"].__file__ = str(tmp_path / "faulty" / "faulty.py")
    assert identify(asked).differences(here) == ["the code of faulty differs"]
    gone = replace(asked, modules=("no_such_module",))
    assert identify(gone).differences(here) == [
        "the code of no_such_module is missing: No module named 'no_such_module'"
    ]


def test_a_renamed_or_new_file_of_a_package_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    hashes = set()
    for name in ("one_a.py", "one_b.py"):
        folder = tmp_path / name.removesuffix(".py")
        folder.mkdir()
        (folder / name).write_text("same")
        hashes.add(identity._code_hash(folder.name))
    (folder / "new.py").touch()
    hashes.add(identity._code_hash(folder.name))
    (folder / "notes.txt").touch()
    hashes.add(identity._code_hash(folder.name))
    assert len(hashes) == 3


def test_what_is_missing_and_what_differs_are_both_said():
    here = Identity({"torch": "2"}, {"the data of a": "1", "the data of b": "1"})
    there = Identity({}, {"the data of a": "2"}, {"the data of b": "the data of b is missing"})
    assert there.differences(here) == [
        "the data of b is missing",
        "torch is None there, 2 here",
        "the data of a differs",
    ]


@pytest.fixture
def downloads(monkeypatch):
    asked = []
    monkeypatch.setattr(identity, "download", lambda name, root: asked.append((name, root)))
    yield asked
    load.cache_clear()


def test_only_what_is_lacking_is_downloaded(downloads, tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_DATA", str(tmp_path))
    stored = make("dense").model_copy(update={"task": make("dense").task.model_copy(update={"dataset": "mnist"})})
    fetch(make("dense"))
    assert downloads == []
    lacking = identify(question([stored], fetch=True))
    assert downloads == [("mnist", Path(tmp_path))]
    assert lacking.missing["the data of mnist"].startswith("the data of mnist is missing: dataset mnist is not in ")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A study's own files: code, weights, arrays; as the driver knows them."""
    monkeypatch.setattr(own_files, "KNOWN", {})
    for name in ("nets.py", "trained.pt"):
        (tmp_path / name).write_text(name)
        own_files.look_up(name if name.endswith(".pt") else f"{name}:build", tmp_path)
    own_files.know("arrays.npz", own_files.Own(tmp_path / "arrays.npz", ""))
    return tmp_path


def test_code_travels_and_weights_lie_where_they_did(own, monkeypatch):
    asked = question([], fetch=False)
    here, known = identify(asked), dict(own_files.KNOWN)
    (packed,) = pack(own / "packed")
    monkeypatch.syspath_prepend(str(packed.parent))
    (own / "nets.py").unlink()  # another machine does not have the driver's files
    monkeypatch.setattr(own_files, "KNOWN", unpack(known))
    assert identify(asked).differences(here) == []
    assert own_files.read("nets.py:build") == b"nets.py"
    assert own_files.get("arrays.npz") == known["arrays.npz"]
    (own / "trained.pt").write_text("other")
    assert identify(asked).differences(here) == ["the file trained.pt differs"]
    (own / "trained.pt").unlink()
    assert "the file trained.pt is missing: " in str(identify(asked).differences(here))


def test_a_module_is_looked_for_where_python_finds_it(own, monkeypatch):
    name = "tests.support.own_study:built"
    mine = own_files.look_up(name, own)
    assert "tests" in own_modules()
    theirs = unpack({name: replace(mine, path=Path("/elsewhere/own_study.py"), content="1")})
    assert theirs == {name: replace(mine, content="1")}
    own_files.look_up("torchvision.models:resnet18", own)
    assert "torchvision" not in own_modules()  # a library: it is installed

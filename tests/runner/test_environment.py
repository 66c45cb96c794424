import subprocess

import pytest

from benchmark.runner import environment

KEPT = (
    "benchmark/runner/environment.py",
    "methods/own.py",
    "baselines/other.py",
    "constraints.txt",
    "results/records.jsonl",
)


def git(root, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", root, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with the suite's layout, whose file of this module's code is the one that runs."""
    for name in KEPT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "benchmark/runner/environment.py"))
    return tmp_path


def origin():
    found = environment.software.__wrapped__()
    return found["commit"], found["dirty"]


def test_a_record_names_the_commit_of_clean_code(checkout):
    assert origin() == (git(checkout, "rev-parse", "HEAD"), False)


@pytest.mark.parametrize("name", [*KEPT[:4], "benchmark/data/new.py"])
def test_changed_or_new_code_makes_a_record_dirty(checkout, name):
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("two\n")
    assert origin() == (git(checkout, "rev-parse", "HEAD"), True)


def test_new_results_do_not_make_a_record_dirty(checkout):
    (checkout / "results" / "records.jsonl").write_text("two\n")
    assert origin()[1] is False


def test_code_installed_below_another_repository_does_not_take_its_commit(checkout, monkeypatch):
    installed = checkout / "environment" / "site-packages" / "benchmark" / "runner" / "environment.py"
    installed.parent.mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(installed))
    assert origin() == (None, None)


def test_preloaded_libraries_are_named(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libone.so:/opt/libtwo.so")
    assert environment.software.__wrapped__()["preloaded"] == ["libone.so", "libtwo.so"]
    monkeypatch.delenv("LD_PRELOAD")
    assert "preloaded" not in environment.software.__wrapped__()

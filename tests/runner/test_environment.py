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


def processor(folder, *lines):
    (folder / "cpuinfo").write_text("\n\n".join(["\n".join(lines)] * 2))
    return environment._cpu_name(folder / "cpuinfo")


def test_processors_of_one_name_are_told_apart(tmp_path, monkeypatch):
    """Two clouds' machines both called AMD EPYC trained other networks of the same keys."""
    monkeypatch.setattr(environment.torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    name = "model name\t: AMD EPYC"
    older = processor(tmp_path, "processor\t: 0", "cpu family\t: 25", "model\t\t: 1", name, "flags\t: avx2")
    assert older == "AMD EPYC (family 25, model 1, AVX2)"
    assert processor(tmp_path, "cpu family\t: 25", "model\t\t: 17", name) == "AMD EPYC (family 25, model 17, AVX2)"
    monkeypatch.setattr(environment.torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert processor(tmp_path, "cpu family\t: 25", "model\t\t: 1", name) == "AMD EPYC (family 25, model 1, AVX512)"


def test_a_processor_that_says_nothing_of_itself_has_a_name_too(tmp_path):
    for name in (processor(tmp_path, "BogoMIPS\t: 50.00"), environment._cpu_name(tmp_path / "none")):
        assert name.endswith(f"({environment.torch.backends.cpu.get_cpu_capability()})")
        assert not name.startswith(" ")

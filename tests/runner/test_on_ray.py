"""The real Ray path, as a user takes it: whole commands in processes of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.conftest import FAULTY, TINY
from tests.support.tuned_study import NOTHING_FOLLOWS

COMMAND = Path(sys.executable).with_name("deadweight")
FEW = TINY.partition("[methods.magnitude_filter]")[0]
FAILING = TINY.replace("[methods.dense]", "[methods.dies]\n[methods.raises]\n[methods.diverges]\n[methods.dense]")
IN_PARTS = [  # the command, giving Tune a few lots at once
    sys.executable,
    "-c",
    "import sys; from benchmark.runner import lots; from benchmark.cli import main\n"
    "lots.AT_ONCE = 7; sys.argv[0] = 'deadweight'; main.main()",
]
LOUD = [  # the command, printing how many trials each lot has
    sys.executable,
    "-c",
    "import sys; from benchmark.runner import lots; from benchmark.cli import main\n"
    "config = lots.as_config\n"
    "lots.as_config = lambda lot: print('lot of', len(lot), file=sys.__stdout__) or config(lot)\n"
    "sys.argv[0] = 'deadweight'; main.main()",
]
VOLATILE = {"created", "train_seconds", "base_seconds", "peak_memory", "provenance"}


def start(*arguments, cwd, command=(COMMAND,)):
    """Starts the command, with Ctrl-C as a terminal gives it: a shell's background job would ignore it."""
    environment = {**os.environ, "PYTHONPATH": str(FAULTY)}
    return subprocess.Popen(
        [*command, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(*arguments, cwd, command=(COMMAND,)):
    process = start(*arguments, cwd=cwd, command=command)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def results(folder):
    """Every stored line by key, without what may differ between two runs; fails if a key is there twice."""
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert len({r["key"] for r in records}) == len(records)
    return {r["key"]: {k: v for k, v in r.items() if k not in VOLATILE} for r in records}


def wait_for_records(path, count, process):
    deadline = time.monotonic() + 300
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_end(processes):
    gone, alive = psutil.wait_procs(processes, timeout=60)
    assert gone
    assert alive == []


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A study with failing methods, killed when it had three records, and run again: its folder, and what it had.

    The second time it is given to Tune in parts.
    """
    folder = tmp_path_factory.mktemp("resumed")
    (folder / "tiny.toml").write_text(FAILING)
    path = folder / "results" / "tiny" / "records.jsonl"
    process = start("run", "tiny.toml", cwd=folder)
    wait_for_records(path, 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = path.read_bytes()
    code, output = finish("run", "tiny.toml", cwd=folder, command=IN_PARTS)
    assert code == 1, output
    return folder, kept, output


@pytest.mark.xdist_group("resumed")
@pytest.mark.usefixtures("faulty_methods")
def test_killed_at_any_moment_nothing_is_lost_or_repeated(resumed, deadweight, tmp_path):
    folder, kept, _ = resumed
    path = folder / "results" / "tiny" / "records.jsonl"
    assert path.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    (tmp_path / "tiny.toml").write_text(TINY)
    assert deadweight("run", "tiny.toml", "--in-process")[0] == 0
    undisturbed, found = results(tmp_path / "results" / "tiny"), results(path.parent)
    assert {key: found[key] for key in undisturbed} == undisturbed
    code, output, _ = deadweight("run", folder / "tiny.toml", "--results", folder / "results")
    assert code == 1  # some of them failed
    assert "ran 0 trials; 16 of 16 have a record" in output
    assert f"next: deadweight plot {folder / 'tiny.toml'}" in output
    assert results(path.parent) == found


def test_short_trials_are_handed_out_several_at_a_time(tmp_path):
    (tmp_path / "tiny.toml").write_text(FEW.replace("seeds = [0, 1]", f"seeds = {[*range(30)]}"))
    code, output = finish("run", "tiny.toml", cwd=tmp_path, command=LOUD)
    assert code == 0, output
    sizes = [int(size) for size in re.findall("lot of ([0-9]+)", output)]
    assert sum(sizes) == len(results(tmp_path / "results" / "tiny")) == 90
    assert sizes[0] == 1
    assert max(sizes) > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_stops_cleanly_and_says_how_to_go_on(tmp_path, number):
    """Ctrl-C in a terminal reaches every process of the group, the workers too."""
    many = str([*range(120)])  # seeds: more trials than can end before the signal
    (tmp_path / "tiny.toml").write_text(FEW.replace("[0, 1]", many))
    process = start("run", "tiny.toml", cwd=tmp_path)
    wait_for_records(tmp_path / "results" / "tiny" / "records.jsonl", 1, process)
    family = psutil.Process(process.pid).children(recursive=True)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    output, _ = process.communicate(timeout=60)
    wait_for_end(family)
    assert process.returncode == 130
    assert "left: run the same command to go on" in output
    assert "Traceback" not in output
    assert {r["status"] for r in results(tmp_path / "results" / "tiny").values()} == {"ok"}


@pytest.mark.xdist_group("resumed")
def test_failures_are_records_and_the_sweep_goes_on(resumed):
    folder, _, output = resumed
    found = results(folder / "results" / "tiny").values()
    statuses = {r["label"]: r["status"] for r in found}
    assert len(found) == 16
    assert statuses == {
        "dies": "crashed",
        "raises": "failed",
        "diverges": "diverged",
        "dense": "ok",
        "implicit": "ok",
        "magnitude_filter": "ok",
    }
    assert {r["label"]: r["losses"] for r in found if "losses" in r} == {"dies": 2}
    assert "lost 2 times: 2 with its worker process, 0 with its machine" in output
    assert "--retry-failed` runs these 4 again" in output
    assert "Traceback" not in output


def test_a_trial_and_a_base_that_hang_are_ended(tmp_path):
    """They hold on to the interpreter, so that nothing within their process can end them."""
    (tmp_path / "tiny.toml").write_text(
        FEW.replace("[0, 1]", "[0]").replace("dense", "hangs") + "[methods.hung_base]\n"
    )
    code, output = finish("run", "tiny.toml", "--trial-minutes", "0.05", cwd=tmp_path)
    assert code == 1, output
    found = {r["label"]: r for r in results(tmp_path / "results" / "tiny").values()}
    assert (found["hangs"]["status"], found["hangs"]["error"]) == ("timeout", "it ran longer than 0.05 minutes")
    assert found["hung_base"]["status"] == "skipped"
    assert "could not be trained: it ran longer than 0.05 minutes" in found["hung_base"]["error"]
    assert "tiny: running " in output


def test_a_search_is_equal_for_all_and_resumes(deadweight, tmp_path):
    def study(samples):
        (tmp_path / "tiny.toml").write_text(TINY.replace("seeds", f'sampler = "optuna"\nsamples = {samples}\nseeds'))

    study(1)
    code, output = finish("run", "tiny.toml", cwd=tmp_path)
    assert code == 0, output
    first = results(tmp_path / "results" / "tiny")
    study(3)
    code, output = finish("run", "tiny.toml", cwd=tmp_path)
    assert code == 0, output
    assert "ran 12 trials; 18 of 18 have a record" in output
    found = results(tmp_path / "results" / "tiny")
    assert first.items() <= found.items()
    assert set(Counter((r["label"], r["seed"]) for r in found.values()).values()) == {3}
    assert deadweight("run", "tiny.toml", "--in-process")[0] == 0
    study(4)
    code, _, err = deadweight("run", "tiny.toml", "--in-process")
    assert code == 2
    assert "leave out --in-process" in err


def test_a_tuned_study_killed_in_its_second_stage_goes_on_as_if_it_had_not_been(deadweight, tmp_path):
    (tmp_path / "tuned.toml").write_text(NOTHING_FOLLOWS)
    path = tmp_path / "results" / "tuned" / "records.jsonl"
    process = start("run", "tuned.toml", cwd=tmp_path)
    wait_for_records(path, 3, process)  # two of the bases
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = path.read_bytes()
    code, output = finish("run", "tuned.toml", cwd=tmp_path)
    assert code == 0, output
    assert "bases: ran 0 trials; 2 of 2 have a record" in output
    assert "tuned.toml: ran 10 trials; 10 of 10 have a record" in output
    assert path.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert deadweight("run", "tuned.toml", "--in-process", "--results", "undisturbed")[0] == 0
    assert results(path.parent) == results(tmp_path / "undisturbed" / "tuned")


def test_an_address_that_does_not_answer_is_one_line(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    code, output = finish("run", "tiny.toml", "--address", "127.0.0.1:9", cwd=tmp_path)
    assert code == 2
    assert "no Ray cluster answers at '127.0.0.1:9'" in output
    assert "Traceback" not in output


def test_a_full_disk_stops_the_sweep_with_one_line(tmp_path):
    """The driver's third record finds the disk full; what Ray's callback raises must reach the user unwrapped."""
    (tmp_path / "tiny.toml").write_text(FEW)
    code = (
        "import errno, os, sys; from benchmark.cli import main\n"
        "sync, calls = os.fsync, []\n"
        "def fsync(file):\n"
        "    calls.append(file)\n"
        "    if len(calls) > 2: raise OSError(errno.ENOSPC, 'full')\n"
        "    sync(file)\n"
        "os.fsync = fsync; sys.argv = ['deadweight', 'run', 'tiny.toml']; main.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the disk is full; all earlier records are safe" in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(results(tmp_path / "results" / "tiny")) == 2


@pytest.mark.usefixtures("faulty_methods")
def test_a_worker_is_put_right_or_replaced_before_the_next_trial(deadweight, tmp_path):
    """One worker at a time: what it left is what the next trial would find."""
    good = FEW.replace("[methods.dense]", "")
    (tmp_path / "good.toml").write_text(good)
    (tmp_path / "bad.toml").write_text(good + "[methods.meddles]\n[methods.infers]\n[methods.dense]\n")
    cores = str(os.cpu_count())
    code, output = finish("run", "bad.toml", "--cpus-per-trial", cores, cwd=tmp_path)
    assert code == 0, output
    found = results(tmp_path / "results" / "bad").values()
    effects = {r["label"]: r.get("side_effects", []) for r in found}
    assert effects == {
        "implicit": [],
        "meddles": ["torch.nn.functional.cross_entropy"],
        "infers": ["the gradient mode", "the inference mode"],
        "dense": [],
    }
    assert {r["status"] for r in found} == {"ok"}
    assert deadweight("run", "good.toml", "--in-process", "--cpus-per-trial", cores)[0] == 0
    alone = results(tmp_path / "results" / "good")
    shared = results(tmp_path / "results" / "bad")
    assert {key: {**shared[key], "study": "good"} for key in alone} == alone

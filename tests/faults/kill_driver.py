"""Kills the driver of a sweep again and again: nothing may be lost or repeated but what was running."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.conftest import TINY

COMMAND = Path(sys.executable).with_name("deadweight")
SEEDS = 60  # ten trials each
START = 15.0  # seconds within which a driver is killed that has yet to make its first record
AFTER = 1.5  # and after that record
VOLATILE = {"created", "train_seconds", "base_seconds", "peak_memory", "provenance", "losses"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gone", type=float, default=30, help="seconds after which no process may be left")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder), given.kills, random.Random(given.seed), given.gone)


def check(folder, kills, chance, gone):
    (folder / "tiny.toml").write_text(TINY.replace("[0, 1]", str([*range(SEEDS)])))
    path = folder / "results" / "tiny" / "records.jsonl"
    kept = []
    for number in range(kills):
        family = kill(folder, path, len(kept), early=number % 2, chance=chance)
        wait_for_end(family, gone)
        found = whole_lines(path)
        assert found[: len(kept)] == kept, "a record was lost or changed"
        print(f"kill {number + 1} of {kills}: {len(found) - len(kept)} new records, {len(found)} in all", flush=True)
        kept = found
    run(folder, "--results", "results")
    found = whole_lines(path)
    assert found[: len(kept)] == kept, "a record was lost or changed"
    keys = [json.loads(line)["key"] for line in found]
    assert len(set(keys)) == len(keys), "a trial has two records"
    run(folder, "--results", "undisturbed", "--in-process")
    assert comparable(path) == comparable(folder / "undisturbed" / "tiny" / "records.jsonl"), "the records differ"
    print(f"{kills} kills; {len(kept)} of {len(keys)} records were made between them; none lost, none repeated")


def kill(folder, path, had, early, chance):
    """Starts the driver and kills it, if early within some seconds, else after its first record; gives its children."""
    driver = subprocess.Popen([COMMAND, "run", "tiny.toml"], cwd=folder, stdout=subprocess.DEVNULL)
    end = time.monotonic() + chance.uniform(0, START)
    while driver.poll() is None and (time.monotonic() < end if early else len(whole_lines(path)) == had):
        time.sleep(0.01)
    time.sleep(chance.uniform(0, AFTER))
    assert driver.poll() is None, f"the driver ended by itself with exit code {driver.returncode}"
    family = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    return family


def wait_for_end(family, seconds):
    deadline = time.monotonic() + seconds
    while left := [process for process in family if runs(process)]:
        assert time.monotonic() < deadline, f"processes are left {seconds:g} s after the kill: {left}"
        time.sleep(0.1)


def runs(process):
    """Whether a process has not ended; one that nobody has asked for its exit code has."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run(folder, *arguments):
    subprocess.run([COMMAND, "run", "tiny.toml", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def whole_lines(path):
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def comparable(path):
    """The records by key, without what may differ between two runs."""
    records = map(json.loads, whole_lines(path))
    return {r["key"]: {name: value for name, value in r.items() if name not in VOLATILE} for r in records}


if __name__ == "__main__":
    main()

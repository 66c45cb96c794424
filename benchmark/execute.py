"""Runs trials in this process, and keeps the base networks that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.records import FINISHED, Record
from benchmark.study import Trial
from benchmark.trial import Base, explain, failed, run, software, train_base

OnRecord = Callable[[Record], None]
Networks = dict[str, Base | str]  # by the base trial's key: the trained network, or why there is none


@dataclass(frozen=True)
class Resources:
    """What each trial gets, and the Ray cluster to run on; without an address, this machine."""

    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0
    address: str | None = None

    @property
    def device(self) -> str:
        """The torch device of a trial."""
        return "cuda" if self.gpus_per_trial > 0 else "cpu"


class BaseStore:
    """Trained base networks in a folder, by key; a file is whole or not there."""

    def __init__(self, folder: Path):
        self.folder = folder

    def load(self, base: Trial) -> Base | None:
        """The base network, if it is stored."""
        path = self._path(base)
        if not path.exists():
            return None
        stored = torch.load(path, weights_only=True)
        return stored["state"], stored["seconds"]

    def save(self, base: Trial, trained: Base) -> None:
        """Stores a trained base network."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._path(base).with_suffix(".partial")
        torch.save({"state": trained[0], "seconds": trained[1]}, partial)
        partial.replace(self._path(base))

    def _path(self, base: Trial) -> Path:
        return self.folder / f"{base.key}.pt"


def pending(trials: list[Trial], records: list[Record], retry_failed: bool) -> list[Trial]:
    """The trials without a record; with `retry_failed` also those whose record is no result."""
    done = {r.key for r in records if not retry_failed or r.status in FINISHED}
    return [trial for trial in trials if trial.key not in done]


def needed_bases(trials: list[Trial]) -> list[Trial]:
    """The base networks that the trials start from, each once."""
    found = [trial.base_trial for trial in trials if trial.base is not None]
    return list({base.key: base for base in found}.values())


def run_in_process(trials: list[Trial], bases: BaseStore, resources: Resources, on_record: OnRecord) -> None:
    """Runs the trials one after another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(resources.cpus_per_trial)
    provenance = software()
    networks: Networks = {}
    try:
        for base in needed_bases(trials):
            networks[base.key] = bases.load(base) or attempt_base(base, resources.device)
            if not isinstance(networks[base.key], str):
                bases.save(base, networks[base.key])
        for trial in trials:
            on_record(run_one(trial, networks, resources.device, provenance))
    finally:
        torch.set_num_threads(threads)


def attempt_base(base: Trial, device: str) -> Base | str:
    """The trained base network, or why there is none."""
    try:
        return train_base(base, device)
    except Exception as error:
        return explain(error)


def run_one(trial: Trial, networks: Networks, device: str, provenance: dict[str, Any]) -> Record:
    """The trial's record, given the base networks."""
    base = networks[trial.base_trial.key] if trial.base else None
    if isinstance(base, str):
        return failed(trial, "skipped", f"its base network could not be trained: {base}", provenance)
    return run(trial, base, device, provenance)

"""Runs trials in this process, and keeps the base networks that they share."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmark.data.names import ENVIRONMENT, data_root
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.trial import Trial
from benchmark.files import write_whole
from benchmark.runner.environment import software
from benchmark.runner.trial import Base, explain, failed, run, train_base

OnRecord = Callable[[Record], None]
Networks = dict[str, Base | str]  # by base key: the trained network, or why there is none


@dataclass(frozen=True)
class Resources:
    """What each trial gets, the Ray cluster to run on (without an address, this machine), and where its data lies."""

    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0
    address: str | None = None
    data_root: Path = field(default_factory=data_root)

    @property
    def device(self) -> str:
        """The torch device of a trial."""
        return "cuda" if self.gpus_per_trial > 0 else "cpu"

    def take(self) -> None:
        """Gives a worker process its threads and the data root, which other machines do not have from the driver."""
        torch.set_num_threads(self.cpus_per_trial)
        os.environ[ENVIRONMENT] = str(self.data_root)


class BaseStore:
    """Trained base networks in a folder; a file is whole or not there."""

    def __init__(self, folder: Path):
        self.folder = folder

    def load(self, trial: Trial) -> Base | None:
        """The trial's base network, if it is stored."""
        path = self._path(trial)
        if not path.exists():
            return None
        stored = torch.load(path, weights_only=True)
        return stored["state"], stored["seconds"]

    def save(self, trial: Trial, trained: Base) -> None:
        """Stores the trial's base network."""
        buffer = io.BytesIO()
        torch.save({"state": trained[0], "seconds": trained[1]}, buffer)
        write_whole(self._path(trial), buffer.getvalue())

    def _path(self, trial: Trial) -> Path:
        return self.folder / f"{trial.base_key}.pt"


@dataclass(frozen=True)
class Destination:
    """Where what a run makes goes: `on_record` takes every record as it comes, the store's folder all else."""

    store: Store
    on_record: OnRecord

    @property
    def bases(self) -> BaseStore:
        """The base networks that the study's trials share."""
        return BaseStore(self.store.path.parent / "bases")

    @property
    def logs(self) -> Path:
        """The folder of what Ray has to say."""
        return self.store.path.parent / "logs"


def needed_bases(trials: list[Trial]) -> list[Trial]:
    """One trial for each base network that the trials start from."""
    return list({trial.base_key: trial for trial in trials if trial.base is not None}.values())


def run_in_process(trials: list[Trial], resources: Resources, destination: Destination) -> None:
    """Runs the trials one after another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(resources.cpus_per_trial)
    provenance = software()
    networks: Networks = {}
    try:
        for trial in needed_bases(trials):
            networks[trial.base_key] = destination.bases.load(trial) or attempt_base(trial, resources.device)
            if not isinstance(networks[trial.base_key], str):
                destination.bases.save(trial, networks[trial.base_key])
        for trial in trials:
            destination.on_record(run_one(trial, networks, resources.device, provenance))
    finally:
        torch.set_num_threads(threads)


def attempt_base(trial: Trial, device: str) -> Base | str:
    """The trial's base network, trained, or why there is none."""
    try:
        return train_base(trial, device)
    except Exception as error:
        return explain(error)


def run_one(trial: Trial, networks: Networks, device: str, provenance: dict[str, Any]) -> Record:
    """The trial's record, given the base networks."""
    base = networks[trial.base_key] if trial.base else None
    if isinstance(base, str):
        return failed(trial, "skipped", f"its base network could not be trained: {base}", provenance)
    return run(trial, base, device, provenance)

"""Runs trials in this process, one after another."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmark import own_files
from benchmark.data.names import ENVIRONMENT, data_root
from benchmark.errors import UsageError, some
from benchmark.experiment.record import FINISHED, Record
from benchmark.experiment.store import Store
from benchmark.experiment.trial import Trial
from benchmark.runner.bases import BaseStore
from benchmark.runner.environment import software
from benchmark.runner.hygiene import Left, Room, exits_are_errors
from benchmark.runner.kept import pack_network
from benchmark.runner.luggage import unpack
from benchmark.runner.states import Say, StateFolder, States
from benchmark.runner.trial import Base, explain, failed, run_and_keep, train_base

OnRecord = Callable[[Record], None]
OnNetwork = Callable[[Record, bytes | str], None]
Networks = dict[str, Base | str]  # by base key: the trained network, or why there is none


@dataclass(frozen=True)
class Resources:
    """What each trial gets, the Ray cluster to run on (without an address, this machine), and where its data lies.

    `own` is what this process knows of the user's files, and what it will have read of them once workers start.
    `trial_minutes` is the limit of a trial, None: by what the first of its kind take. `wait` is how many minutes a
    cluster has to bring a machine on which a trial fits. With `fetch` a machine downloads the datasets that it lacks.
    With `keep` it hands over the reduced network of each trial, too.
    """

    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0
    address: str | None = None
    data_root: Path = field(default_factory=data_root)
    own: dict[str, own_files.Own] = field(default_factory=lambda: own_files.KNOWN)
    trial_minutes: float | None = None
    wait: float = 0.5
    fetch: bool = False
    keep: bool = False

    @property
    def device(self) -> str:
        """The torch device of a trial."""
        return "cuda" if self.gpus_per_trial > 0 else "cpu"

    def take(self) -> None:
        """Gives a worker process its threads, own files and data root, which a machine of a cluster may have set."""
        torch.set_num_threads(self.cpus_per_trial)
        own_files.KNOWN.update(self.own if self.address is None else unpack(self.own))
        if self.address is None or not os.environ.get(ENVIRONMENT):
            os.environ[ENVIRONMENT] = str(self.data_root)


@dataclass(frozen=True)
class Destination:
    """Where what a run makes goes: `on_record` takes every record as it comes, the store's folder all else.

    `on_network` is given a record's reduced network before that, or why there is none, where networks are to be kept.
    `say` is told in a line what the reader should know meanwhile, `doing` in a few words what begins.
    """

    store: Store
    on_record: OnRecord
    say: Callable[[str], None] = print
    doing: Callable[[str], None] = len  # nobody listens
    on_network: OnNetwork | None = None

    @property
    def bases(self) -> BaseStore:
        """The base networks that the study's trials share."""
        return BaseStore(self.store.path.parent / "bases", self.say)

    @property
    def states(self) -> StateFolder:
        """The states of trials and base networks whose training was broken off, or is under way."""
        return StateFolder(self.store.path.parent.absolute() / "states")

    def keep(self, record: Record, packed: bytes | str | None) -> None:
        """Hands over a record, and first the network that came with it; the states of its trial are needed no more."""
        if packed is not None and self.on_network is not None:
            self.on_network(record, packed)
        self.on_record(record)
        self.states.remove(record.key)

    def keep_base(self, trial: Trial, trained: Base | str) -> None:
        """Stores the base network that the trial starts from, where there is one. Raises UsageError."""
        if not isinstance(trained, str):
            self.bases.save(trial, trained)
        self.states.remove(str(trial.base_key))

    def tidy(self) -> None:
        """Removes the states of what is done, which a run that was killed has left."""
        kept = self.states.keys()
        if kept:
            outcomes = self.store.collect(lambda record: (record.key, record.status))
            done = {key for key, status in outcomes if status in FINISHED}  # the others may be under way once more
            for key in kept & (done | self.bases.keys()):
                self.states.remove(key)

    @property
    def logs(self) -> Path:
        """The folder of what Ray has to say."""
        return self.store.path.parent / "logs"


def needed_bases(trials: list[Trial]) -> list[Trial]:
    """One trial for each base network that the trials start from."""
    return list({trial.base_key: trial for trial in trials if trial.base is not None}.values())


def run_in_process(trials: list[Trial], resources: Resources, destination: Destination) -> None:
    """Runs the trials one after another.

    Raises UsageError after a trial that leaves this process unfit for others.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(resources.cpus_per_trial)
    provenance, states = software(), States(destination.states, resources.device)
    destination.tidy()
    networks: Networks = {}
    try:
        with exits_are_errors():
            for trial in needed_bases(trials):
                destination.doing("training base networks")
                networks[trial.base_key] = destination.bases.load(trial)
                if networks[trial.base_key] is None:
                    networks[trial.base_key] = attempt_base(trial, states, destination.say)
                    destination.keep_base(trial, networks[trial.base_key])
            room = Room()
            for trial in trials:
                destination.doing(f"running {trial.label}")
                given = networks, states, provenance, room
                record, left, packed = run_one(trial, *given, destination.say, resources.keep)
                destination.keep(record, packed)
                if left.lasting:
                    raise UsageError(
                        f"{trial.label} changed {some(left.lasting)}, which cannot be put back in this process; "
                        "run without --in-process"
                    )
    finally:
        torch.set_num_threads(threads)


def attempt_base(trial: Trial, states: States, say: Say) -> Base | str:
    """The trial's base network, trained, or why there is none; leaves the process as it was."""
    room = Room()
    room.enter(trial)
    try:
        trained: Base | str = train_base(trial, states.device, states.of_base(trial, say))
    except (Exception, SystemExit) as error:
        trained = explain(error)
    left = room.leave()
    return f"it changed {some(left.lasting)}, which cannot be put back" if left.lasting else trained


def run_one(
    trial: Trial, networks: Networks, states: States, provenance: dict[str, Any], room: Room, say: Say, keep: bool
) -> tuple[Record, Left, bytes | str | None]:
    """The trial's record, given the base networks, and what it left changed in the room, where that is put back.

    And with `keep`, its reduced network as `pack_network` gives it.
    """
    base = networks[trial.base_key] if trial.base else None
    if isinstance(base, str):
        reason = f"its base network could not be trained: {base}"
        return failed(trial, "skipped", reason, provenance), Left([], [], grown=False), None
    room.enter(trial)
    record, module = run_and_keep(trial, base, states.device, provenance, states.of(trial, say))
    packed = pack_network(record, module) if keep and module is not None else None
    left = room.leave()
    return record.model_copy(update={"side_effects": left.changed}), left, packed

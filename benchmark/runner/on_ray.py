"""Runs trials as Ray Tune trials on reused worker processes. With search.py, all that knows Ray."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import torch

from benchmark.errors import UsageError, first_line
from benchmark.experiment.record import Record
from benchmark.experiment.study import Slot, Study
from benchmark.experiment.trial import Trial
from benchmark.runner.bases import BaseStore
from benchmark.runner.environment import software
from benchmark.runner.hygiene import Room
from benchmark.runner.in_process import (
    Destination,
    Networks,
    OnRecord,
    Resources,
    attempt_base,
    needed_bases,
    run_one,
)
from benchmark.runner.trial import explain, failed

os.environ.update(  # read when Ray is imported, and by its processes
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AIR_NEW_OUTPUT="0",
    RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
)
import ray
from ray import tune
from ray.job_config import JobConfig

from benchmark.runner.search import OBJECTIVES, Search

CLUSTER_WAIT = 60  # seconds that a cluster has to bring up a machine on which a trial fits


class WornOutError(RuntimeError):
    """A worker process is not as it was: another takes its place."""


class Worker(tune.Trainable):
    """One worker process: runs the trial that its configuration holds, and is then reset to the next.

    After a trial that changed it for good it asks for a second step and fails there, its record handed over: that is
    how Tune can be made to start another process.
    """

    def setup(self, config: dict, networks: Networks, resources: Resources, provenance: dict[str, Any]) -> None:
        resources.take()
        self.networks, self.device, self.provenance = networks, resources.device, provenance
        self.room, self.worn = Room(), False

    def reset_config(self, new_config: dict) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        if self.worn:
            raise WornOutError
        record, left = run_one(_trial_of(self.config), self.networks, self.device, self.provenance, self.room)
        self.worn = bool(left.lasting) or left.grown
        objectives = {name: getattr(record, name) or 0.0 for name in OBJECTIVES}
        return {"record": record.model_dump_json(exclude_defaults=True), **objectives, "done": not self.worn}


def _trial_of(config: dict[str, str]) -> Trial:
    return Trial.model_validate_json(config["trial"])


class Keeper(tune.Callback):
    """Hands over each record in the driver, as it arrives."""

    def __init__(self, on_record: OnRecord, provenance: dict[str, Any]):
        self.on_record, self.provenance = on_record, provenance
        self.kept: set[str] = set()

    def __getstate__(self) -> dict:
        return {}  # Tune stores its callbacks for a restore that is never made: the records are the state

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        self.kept.add(trial.trial_id)
        self.on_record(Record.model_validate_json(result["record"]))

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        if trial.trial_id in self.kept:  # the worker ended after it had handed over its record
            return
        reason = first_line(trial.get_pickled_error() or "the worker process ended")
        self.on_record(failed(_trial_of(trial.config), "crashed", reason, self.provenance))


def run_with_ray(trials: list[Trial], resources: Resources, destination: Destination) -> None:
    """Runs the trials on Ray, whose own messages go to a file.

    Raises UsageError where Ray does not start, the cluster does not answer or no machine has what a trial asks for.
    """
    with _running_ray(resources, destination.logs):
        space = {"trial": tune.grid_search([trial.model_dump_json() for trial in trials])}
        _tune(trials, resources, destination, tune.TuneConfig(reuse_actors=True), space)


def search_with_ray(study: Study, todo: list[Slot], resources: Resources, destination: Destination) -> None:
    """Lets Optuna choose one trial for each slot to do, by validation accuracy and sparsity; else as `run_with_ray`."""
    defaults = [study.trial(slot, study.setting(slot.label, {})) for slot in dict.fromkeys(todo)]
    search = Search(study, todo, destination.store.load())
    with _running_ray(resources, destination.logs):
        config = tune.TuneConfig(reuse_actors=True, search_alg=search, num_samples=len(todo))
        _tune(defaults, resources, destination, config, space=None)


def _tune(
    trials: list[Trial],
    resources: Resources,
    destination: Destination,
    config: tune.TuneConfig,
    space: dict[str, Any] | None,
) -> None:
    """Trains the base networks that the trials need, then lets Tune run its trials on reused workers."""
    given = {"networks": _train_bases(needed_bases(trials), destination.bases, resources), "resources": resources}
    given["provenance"] = software()
    request = {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
    with _scratch(destination.store.path) as scratch:
        run_config = tune.RunConfig(
            storage_path=scratch,
            name="sweep",
            callbacks=[Keeper(destination.on_record, given["provenance"])],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        )
        trainable = tune.with_resources(tune.with_parameters(Worker, **given), request)
        try:
            tune.Tuner(trainable, param_space=space, tune_config=config, run_config=run_config).fit()
        except tune.TuneError as error:  # what a callback raises arrives wrapped
            if isinstance(error.__context__, UsageError):
                raise error.__context__ from None
            raise


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[str]:
    """A temporary folder of the study's, whose lock this process holds: what a killed run left of it goes first."""
    name = hashlib.sha256(f"{os.getuid()} {path.absolute()}".encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"deadweight-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _train_bases(needed: list[Trial], bases: BaseStore, resources: Resources) -> Networks:
    networks = {trial.base_key: bases.load(trial) for trial in needed}
    missing = [trial for trial in needed if networks[trial.base_key] is None]

    @ray.remote(num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus_per_trial, max_retries=0)
    def work(trial: Trial) -> Any:
        resources.take()
        return attempt_base(trial, resources.device)

    results = [work.remote(trial) for trial in missing]
    for trial, result in zip(missing, results, strict=True):
        try:
            networks[trial.base_key] = ray.get(result)
        except ray.exceptions.RayError as error:
            networks[trial.base_key] = f"its worker ended: {explain(error)}"
        if not isinstance(networks[trial.base_key], str):
            bases.save(trial, networks[trial.base_key])
    return networks


@contextlib.contextmanager
def _running_ray(resources: Resources, log_folder: Path) -> Iterator[None]:
    """A running Ray, quiet, private, and stopped at the end."""
    if resources.address is not None:
        _check_address(resources.address)
    log_folder.mkdir(parents=True, exist_ok=True)
    local = {} if resources.address else {"include_dashboard": False, "num_gpus": torch.cuda.device_count()}
    with (log_folder / "ray.log").open("a", buffering=1) as log, _diverted(log):
        try:
            with contextlib.chdir(log_folder):  # Ray lets workers import from here first
                ray.init(
                    address=resources.address or "local",
                    job_config=JobConfig(_py_driver_sys_path=_import_path()),
                    log_to_driver=False,
                    configure_logging=False,
                    **local,
                )
        except Exception as error:
            raise UsageError(f"Ray did not start: {explain(error)}; its log is in {log_folder}") from error
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # in place of Ray's: a polite kill is a Ctrl-C
        try:
            _check_resources(resources)
            yield
        finally:
            with _uninterrupted():
                ray.shutdown()


def _import_path() -> list[str]:
    """Where this process imports from, last place first, as Ray's workers put one before another.

    So they import what this process does, whatever lies in the working directory.
    """
    return [os.path.abspath(place) for place in reversed(sys.path)]  # noqa: PTH100 - it may be a zip file, or ""


def _check_resources(resources: Resources) -> None:
    """Raises UsageError where no machine has what a trial asks for, on a cluster only after CLUSTER_WAIT."""
    asked = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}

    def fits() -> bool:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return any(all(machine.get(name, 0) >= count for name, count in asked.items()) for machine in machines)

    if fits():
        return
    if resources.address is not None:  # a task that waits is what makes a cluster grow
        options = {"num_cpus": resources.cpus_per_trial, "num_gpus": resources.gpus_per_trial}
        ray.wait([ray.remote(**options)(_nothing).remote()], timeout=CLUSTER_WAIT)
        if fits():
            return
    most = {name: max((node["Resources"].get(name, 0) for node in ray.nodes()), default=0) for name in asked}
    waited = f", {CLUSTER_WAIT} s after it was asked for" if resources.address else ""
    raise UsageError(
        f"a trial asks for {asked['CPU']} CPU cores and {asked['GPU']:g} GPUs, and no machine has more than "
        f"{most['CPU']:g} and {most['GPU']:g}{waited}; lower --cpus-per-trial or --gpus-per-trial"
    )


def _nothing() -> None:
    pass


@contextlib.contextmanager
def _diverted(log: TextIO) -> Iterator[None]:
    """Sends what Ray logs and prints in the driver to a file; a progress bar must hold on to the terminal itself."""
    logger, handler = logging.getLogger("ray"), logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before, logger.handlers, logger.propagate = logger.handlers, [handler], False
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield
    finally:
        logger.handlers = before


def _check_address(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            pass
    except (OSError, ValueError) as error:
        raise UsageError(f"no Ray cluster answers at {address!r} ({error}); start one or leave out --address") from None


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Lets a second Ctrl-C wait, so that no worker process is left behind."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

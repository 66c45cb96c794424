"""Runs trials as Ray Tune trials on reused worker processes. The only file that knows Ray."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import optuna
import torch

from benchmark.domains import Choice
from benchmark.errors import UsageError
from benchmark.execute import BaseStore, Networks, OnRecord, Resources, attempt_base, needed_bases, run_one
from benchmark.records import Record
from benchmark.spec import Trial
from benchmark.study import Slot, Study
from benchmark.trial import explain, failed, software

os.environ.update(  # read when Ray is imported, and by its processes
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AIR_NEW_OUTPUT="0",
    RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
)
import ray
from ray import tune
from ray.tune.search import Searcher

OBJECTIVES = ("val_accuracy", "param_sparsity")  # what a search maximises


class Worker(tune.Trainable):
    """One worker process: runs the trial that its configuration holds, and is then reset to the next."""

    def setup(self, config: dict, networks: Networks, resources: Resources, provenance: dict[str, Any]) -> None:
        resources.take()
        self.networks, self.device, self.provenance = networks, resources.device, provenance

    def reset_config(self, new_config: dict) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        record = run_one(_trial_of(self.config), self.networks, self.device, self.provenance)
        objectives = {name: getattr(record, name) or 0.0 for name in OBJECTIVES}
        return {"record": record.model_dump_json(exclude_defaults=True), **objectives, "done": True}


def _config_of(trial: Trial) -> dict[str, str]:
    return {"trial": trial.model_dump_json()}


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
        reason = str(trial.get_pickled_error() or "the worker process ended").strip().splitlines()[0]
        self.on_record(failed(_trial_of(trial.config), "crashed", reason, self.provenance))


class Search(Searcher):
    """One multi-objective Optuna search per slot, taken in turn; earlier records are what each knows at its start.

    Ray Tune's own OptunaSearch cannot be given evaluated points with more than one objective, so it could not resume.
    """

    def __init__(self, study: Study, todo: list[Slot], records: list[Record]):
        super().__init__()
        self.study, self.todo = study, list(todo)
        self.spaces = {label: _distributions(study, label) for label in study.methods}
        self.asked: dict[str, tuple[Slot, optuna.Trial]] = {}
        known = {slot: [] for slot in study.slots()}
        for record in study.own(records):
            known[Slot(label=record.label, task=record.task, seed=record.seed)].append(record)
        self.searches = {slot: _optuna(slot, made, self.spaces[slot.label]) for slot, made in known.items()}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> dict[str, str] | str:
        if not self.todo:
            return Searcher.FINISHED
        slot = self.todo.pop(0)
        asked = self.searches[slot].ask(self.spaces[slot.label])
        self.asked[trial_id] = slot, asked
        return _config_of(self.study.trial(slot, self.study.setting(slot.label, asked.params)))

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        slot, asked = self.asked[trial_id]
        self.searches[slot].tell(asked, [(result or {}).get(name, 0.0) for name in OBJECTIVES])

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the records are the state."""


def _optuna(slot: Slot, records: list[Record], space: dict[str, Any]) -> optuna.Study:
    """A search that knows these records; its seed counts them, for it would else repeat their random beginning."""
    seed = int(np.random.SeedSequence([slot.seed, len(records)]).generate_state(1)[0])
    search = optuna.create_study(
        directions=["maximize"] * len(OBJECTIVES), sampler=optuna.samplers.TPESampler(seed=seed)
    )
    for record in records:
        values = {name: record.setting.hyperparameters[name] for name in space}
        found = [getattr(record, name) or 0.0 for name in OBJECTIVES]
        search.add_trial(optuna.trial.create_trial(params=values, distributions=space, values=found))
    return search


def _distributions(study: Study, label: str) -> dict[str, optuna.distributions.BaseDistribution]:
    found = {}
    for name, domain in study.space(label).items():
        if isinstance(domain, Choice):
            found[name] = optuna.distributions.CategoricalDistribution(domain.options)
        else:
            found[name] = optuna.distributions.FloatDistribution(*domain.bounds, log=domain.log)
    return found


def run_with_ray(
    trials: list[Trial], bases: BaseStore, resources: Resources, on_record: OnRecord, log_folder: Path
) -> None:
    """Runs the trials on Ray; its own messages go to a file in `log_folder`.

    Raises UsageError where Ray does not start or the cluster does not answer.
    """
    with _running_ray(resources, log_folder):
        space = {"param_space": {"trial": tune.grid_search([_config_of(trial)["trial"] for trial in trials])}}
        _tune(trials, bases, resources, on_record, tune.TuneConfig(reuse_actors=True), space)


def search_with_ray(
    study: Study,
    todo: list[Slot],
    records: list[Record],
    bases: BaseStore,
    resources: Resources,
    on_record: OnRecord,
    log_folder: Path,
) -> None:
    """Lets Optuna choose one trial for each slot to do, by validation accuracy and sparsity; else as `run_with_ray`."""
    defaults = [study.trial(slot, study.setting(slot.label, {})) for slot in dict.fromkeys(todo)]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = Search(study, todo, records)
    with _running_ray(resources, log_folder):
        config = tune.TuneConfig(reuse_actors=True, search_alg=search, num_samples=len(todo))
        _tune(defaults, bases, resources, on_record, config, {})


def _tune(
    trials: list[Trial],
    bases: BaseStore,
    resources: Resources,
    on_record: OnRecord,
    config: tune.TuneConfig,
    space: dict[str, Any],
) -> None:
    """Trains the base networks that the trials need, then lets Tune run its trials on reused workers."""
    given = {"networks": _train_bases(needed_bases(trials), bases, resources), "resources": resources}
    given["provenance"] = software()
    request = {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
    with tempfile.TemporaryDirectory(prefix="deadweight-") as scratch:
        run_config = tune.RunConfig(
            storage_path=scratch,
            name="sweep",
            callbacks=[Keeper(on_record, given["provenance"])],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        )
        trainable = tune.with_resources(tune.with_parameters(Worker, **given), request)
        try:
            tune.Tuner(trainable, tune_config=config, run_config=run_config, **space).fit()
        except tune.TuneError as error:  # what a callback raises arrives wrapped
            if isinstance(error.__context__, UsageError):
                raise error.__context__ from None
            raise


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
            ray.init(address=resources.address or "local", log_to_driver=False, configure_logging=False, **local)
        except Exception as error:
            raise UsageError(f"Ray did not start: {explain(error)}; its log is in {log_folder}") from error
        try:
            yield
        finally:
            with _uninterrupted():
                ray.shutdown()


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

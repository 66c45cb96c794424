"""Runs trials as Ray Tune trials on reused worker processes, again where they were lost with one.

The Ray files: this one, base_training, cluster, lots, machines, post, remote_states, search and ray_import.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.experiment.study import Slot, Study
from benchmark.experiment.trial import Trial
from benchmark.runner.base_training import train_bases
from benchmark.runner.cluster import running_ray
from benchmark.runner.environment import checkout, versions
from benchmark.runner.hygiene import Room
from benchmark.runner.identity import Question, question
from benchmark.runner.in_process import Destination, Networks, Resources, needed_bases, run_one
from benchmark.runner.keeper import Keeper
from benchmark.runner.limits import Limits
from benchmark.runner.lots import Lots, trials_of
from benchmark.runner.machines import Fitness, Machines
from benchmark.runner.post import Post
from benchmark.runner.ray_import import ray, tune
from benchmark.runner.remote_states import storage_of
from benchmark.runner.search import OBJECTIVES, Search
from benchmark.runner.states import States

AHEAD = 16  # lots that wait for a worker at least, so that a cluster that grows is asked for more than it has


class WornOutError(RuntimeError):
    """A worker process is not as it was: another takes its place."""


class Worker(tune.Trainable):
    """One worker process: runs the trials that its configuration holds, and is then reset to the next.

    After a trial that changed it for good it asks for a second step and fails there, its record handed over: that is
    how Tune can be made to start another process.
    """

    def setup(
        self,
        config: dict,
        networks: Networks,
        resources: Resources,
        fitness: Fitness,
        states: States,
        origin: dict[str, Any],
        post: Post,
    ) -> None:
        resources.take()
        fitness.check()
        self.networks, self.states, self.keep, self.post = networks, states, resources.keep, post
        self.provenance = {**origin, **versions()}
        self.room, self.worn = Room(), False

    def reset_config(self, new_config: dict) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        if self.worn:
            raise WornOutError
        given = self.networks, self.states, self.provenance, self.room
        lines, seconds, said = [], [], list[str]()
        for trial in trials_of(self.config):
            started = time.monotonic()
            record, left, packed = run_one(trial, *given, said.append, self.keep)
            if packed is not None:
                self.post.send(record.key, packed)
            seconds.append(time.monotonic() - started)
            lines.append(record.model_dump_json(exclude_defaults=True))
            self.worn = bool(left.lasting) or left.grown
            if self.worn:  # the rest of the lot is for the process that takes this one's place
                break
        objectives = {name: getattr(record, name) or 0.0 for name in OBJECTIVES}
        return {"records": lines, "seconds": seconds, "said": said, **objectives, "done": not self.worn}


def run_with_ray(trials: list[Trial], resources: Resources, destination: Destination) -> None:
    """Runs the trials on Ray, whose own messages go to a file.

    Raises UsageError where Ray does not start, the cluster does not answer, no machine has what a trial asks for, or
    each differs from this one.
    """
    with running_ray(resources, destination.logs):
        _run(trials, trials, resources, destination, search=None)


def search_with_ray(study: Study, todo: list[Slot], resources: Resources, destination: Destination) -> None:
    """Lets Optuna choose one trial for each slot to do, by validation accuracy and sparsity; else as `run_with_ray`."""
    defaults = [study.trial(slot, study.setting(slot.label, {})) for slot in dict.fromkeys(todo)]
    search = Search(study, todo, destination.store.load())
    with running_ray(resources, destination.logs):
        _run([], defaults, resources, destination, search)


def _run(
    trials: list[Trial], like: list[Trial], resources: Resources, destination: Destination, search: Search | None
) -> None:
    """Trains the base networks, then lets Tune run the trials, and once more those that were lost with their worker.

    `like` holds a trial of each kind that will run; those of a search are not known before.
    """
    asked = question(like, resources.fetch) if resources.address else Question()
    machines, limits = Machines(resources, asked, destination.say), Limits(resources.trial_minutes)
    machines.open()
    destination.tidy()
    states = States(storage_of(destination.states, resources), resources.device)
    networks = train_bases(needed_bases(like), resources, destination, machines, limits, states)
    post = Post.open() if resources.keep else Post()
    keeper = Keeper(destination, machines, limits, post)
    given = {"networks": networks, "resources": resources, "states": states, "origin": checkout(), "post": post}
    with _scratch(destination.store.path) as scratch:
        if search is not None:
            _fit(search, len(search.todo), 1, {**given, "fitness": machines.fitness}, keeper, scratch)
        lots = Lots(trials)
        while lots.todo or keeper.lost:
            if not lots.todo:
                lots, keeper.lost = Lots(keeper.lost, alone=True), []
            slots = int(ray.cluster_resources().get("CPU", 1)) // resources.cpus_per_trial
            _fit(lots, len(lots.todo), max(slots, AHEAD), {**given, "fitness": machines.fitness}, keeper, scratch)


def _fit(source: Lots | Search, most: int, ahead: int, given: dict[str, Any], keeper: Keeper, scratch: str) -> None:
    """Lets Tune run the trials of a source, at most so many lots, on reused workers; it asks for some before time."""
    resources = given["resources"]
    request = {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
    trainable = tune.with_resources(tune.with_parameters(Worker, **given), request)
    config = tune.TuneConfig(reuse_actors=True, search_alg=source, num_samples=most)
    run_config = tune.RunConfig(
        storage_path=scratch,
        name="sweep",
        callbacks=[keeper],
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        verbose=0,
    )
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(ahead)
    try:
        tune.Tuner(trainable, tune_config=config, run_config=run_config).fit()
    except Exception:  # what a callback raises may arrive wrapped
        if keeper.refusal is not None:
            raise keeper.refusal from None
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

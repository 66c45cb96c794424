"""Trains base networks on Ray, each in a task of its own; one that is lost with its worker is trained once more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmark.experiment.trial import Trial
from benchmark.runner.in_process import Destination, Networks, Resources, attempt_base
from benchmark.runner.limits import Limits, base_kind
from benchmark.runner.machines import LOSSES, Fitness, Machines, UnfitError, reason
from benchmark.runner.ray_import import ray
from benchmark.runner.states import Say, States
from benchmark.runner.trial import Base


@dataclass
class _Job:
    """A training under way: when it left the queue, None while it waits there, and how often it was lost before."""

    trial: Trial
    losses: int = 0
    started: float | None = None


def train_bases(
    needed: list[Trial],
    resources: Resources,
    destination: Destination,
    machines: Machines,
    limits: Limits,
    states: States,
) -> Networks:
    """The networks that the trials start from: those that are stored, and the others trained and stored."""
    networks: Networks = {}
    for trial in needed:
        stored = destination.bases.load(trial)
        if stored is not None:
            networks[trial.base_key] = stored
    missing = [trial for trial in needed if trial.base_key not in networks]
    if missing:
        destination.doing("training base networks")
    for trial, trained in _train(missing, resources, machines, limits, states):
        networks[trial.base_key] = trained
        destination.keep_base(trial, trained)
    return networks


def _train(
    trials: list[Trial], resources: Resources, machines: Machines, limits: Limits, states: States
) -> Iterator[tuple[Trial, Base | str]]:
    """Each trial with its base network, or why there is none, in the order in which they come."""
    request = {"num_cpus": resources.cpus_per_trial, "num_gpus": resources.gpus_per_trial}
    task = ray.remote(**request, max_retries=0, num_returns="streaming")(_train_one)
    given = resources, states
    jobs = {task.remote(trial, *given, machines.fitness): _Job(trial) for trial in trials}
    while jobs:
        for stream in ray.wait(list(jobs), timeout=1)[0]:
            job = jobs[stream]
            outcome = _hear(stream, job, limits, machines.say)
            if isinstance(outcome, _Job):
                del jobs[stream]
                jobs[task.remote(job.trial, *given, machines.fitness)] = outcome
            elif outcome is not None:
                del jobs[stream]
                yield job.trial, outcome
        for stream, job in list(jobs.items()):
            late = job.started and limits.exceeded(base_kind(job.trial), time.monotonic() - job.started)
            if late:
                ray.cancel(stream, force=True)
                del jobs[stream]
                yield job.trial, late
        machines.look(sum(job.started is not None for job in jobs.values()))


def _hear(stream: Any, job: _Job, limits: Limits, say: Say) -> Base | str | _Job | None:
    """What a task has come to: None where it is under way, a job where it has to be done once more."""
    try:
        said = ray.get(next(stream))
    except ray.exceptions.RayError as error:
        if isinstance(error, ray.exceptions.RayTaskError) and not isinstance(error, UnfitError):
            return f"its worker failed: {reason(error)}"
        if job.losses + 1 == LOSSES:
            return f"its worker ended, {LOSSES} times; last: {reason(error)}"
        return _Job(job.trial, job.losses + 1)
    if said is None:
        job.started = time.monotonic()
    elif isinstance(said, list):
        for line in said:
            say(line)
        return None
    elif job.started is not None:
        limits.learn(base_kind(job.trial), time.monotonic() - job.started)
    return said


def _train_one(
    trial: Trial, resources: Resources, states: States, fitness: Fitness
) -> Iterator[Base | str | list[str] | None]:
    """None at the start, then what is to be said, and the network or why there is none."""
    resources.take()
    fitness.check()
    yield None
    lines: list[str] = []
    outcome = attempt_base(trial, states, lines.append)
    yield lines
    yield outcome

"""What the driver does while Tune runs trials: keeps their records, ends those that hang, remembers those lost."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmark.errors import UsageError
from benchmark.experiment.record import Record
from benchmark.experiment.trial import Trial
from benchmark.runner.environment import software
from benchmark.runner.in_process import Destination
from benchmark.runner.limits import Limits, kind
from benchmark.runner.lots import trials_of
from benchmark.runner.machines import LOSSES, Machines, reason
from benchmark.runner.post import Post
from benchmark.runner.ray_import import ray, tune
from benchmark.runner.trial import failed

KILLS = 2  # workers that end under a trial: then it is the trial that ends them
LOOKED = 1.0  # seconds between two looks at what runs
WORKER_DIED = "its worker process has died"  # as Ray says it of a process whose machine lives


class Keeper(tune.Callback):
    """Hands over each record in the driver, as it arrives; `lost` are the trials that are to run once more."""

    def __init__(self, destination: Destination, machines: Machines, limits: Limits, post: Post):
        self.destination, self.machines, self.limits, self.post = destination, machines, limits, post
        self.kept: set[str] = set()
        self.running: dict[str, tuple[Any, list[Trial], float]] = {}  # Tune's trial, ours, and when they started
        self.overdue: dict[str, str] = {}  # what is to be said of those that were ended
        self.lost: list[Trial] = []
        self.losses, self.kills = Counter[str](), Counter[str]()
        self.refusal: UsageError | None = None
        self.looked = time.monotonic()

    def __getstate__(self) -> dict:
        return {}  # Tune stores its callbacks for a restore that is never made: the records are the state

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        lot = trials_of(trial.config)
        self.running[trial.trial_id] = trial, lot, time.monotonic()
        self.destination.doing(f"running {lot[0].label}")

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        _, lot, _ = self.running.pop(trial.trial_id)
        self.kept.add(trial.trial_id)
        lines = result.pop("records")  # Tune would hold on to them until all is done
        for own, took in zip(lot, result["seconds"], strict=False):
            self.limits.learn(kind(own), took)
        for line in result.pop("said"):
            self.destination.say(line)
        for line in lines:
            self._keep(Record.model_validate_json(line))
        self.lost += lot[len(lines) :]

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.running.pop(trial.trial_id, None)
        if trial.trial_id in self.kept:  # the worker ended after it had handed over its records
            return
        lot, error = trials_of(trial.config), _error(trial)
        if len(lot) > 1:  # which of them it was shows when each runs alone
            for own in lot:
                self._lose(own, None)
        elif trial.trial_id in self.overdue:
            self._fail(lot[0], "timeout", self.overdue[trial.trial_id])
        elif isinstance(error, ray.exceptions.RayTaskError):
            self._fail(lot[0], "crashed", reason(error))
        else:
            self._lose(lot[0], error)

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        now = time.monotonic()
        if now - self.looked < LOOKED:
            return
        self.looked = now
        for identity, (trial, lot, started) in self.running.items():
            late = self.limits.exceeded(kind(lot[0]), now - started)
            if late and identity not in self.overdue:
                self.overdue[identity] = late
                ray.kill(trial.temporary_state.ray_actor)
        try:
            self.machines.look(len(self.running))
        except UsageError as refusal:
            self.refusal = refusal
            raise

    def _lose(self, own: Trial, error: BaseException | None) -> None:
        """A trial whose process died runs once more, unless that has happened too often."""
        self.losses[own.key] += 1
        self.kills[own.key] += WORKER_DIED in str(error)
        lost, kills = self.losses[own.key], self.kills[own.key]
        if kills < KILLS and lost < LOSSES:
            self.lost.append(own)
        else:
            why = f"it was lost {lost} times: {kills} with its worker process, {lost - kills} with its machine"
            self._fail(own, "crashed", why)

    def _fail(self, own: Trial, status: str, why: str) -> None:
        self._keep(failed(own, status, why, software()))

    def _keep(self, record: Record) -> None:
        if self.losses[record.key]:
            record = record.model_copy(update={"losses": self.losses[record.key]})
        try:
            self.destination.keep(record, self.post.take(record.key))
        except UsageError as refusal:
            self.refusal = refusal
            raise


def _error(trial: Any) -> BaseException | None:
    """What Ray says of a trial that failed; Tune's own `get_pickled_error` reads where it is copied to only later."""
    path = trial.pickled_error_file
    return ray.cloudpickle.loads(Path(path).read_bytes()) if path else None

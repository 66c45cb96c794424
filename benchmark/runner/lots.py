"""Hands trials to workers in lots: short ones several at a time, as whatever Tune hands out costs some 20 ms."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from benchmark.experiment.trial import Trial
from benchmark.runner.limits import Kind, kind
from benchmark.runner.ray_import import tune

AT_ONCE = 2000  # lots that Tune is given: it keeps in memory what it knows of each to the end
LASTS = 1.0  # seconds that a lot may take: so much is done again where a worker is lost

Pace = tuple[str, Kind]


class Lots(tune.search.Searcher):
    """Trials in their order: one whose like has not run yet alone, then as many at a time as fill a second.

    With `alone` each is a lot of its own. Tune is told that all is done after AT_ONCE lots; `todo` is what is left.
    """

    def __init__(self, trials: Iterable[Trial], *, alone: bool = False):
        super().__init__()
        self.todo, self.alone = deque(trials), alone
        self.took: dict[Pace, float] = {}  # seconds, of the last trial of the kind
        self.given: dict[str, list[Trial]] = {}
        self.count = 0

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> dict[str, str] | str:
        if not self.todo or self.count == AT_ONCE:
            self.count = 0
            return tune.search.Searcher.FINISHED
        self.count += 1
        self.given[trial_id] = lot = self._next()
        return as_config(lot)

    def _next(self) -> list[Trial]:
        lot = [self.todo.popleft()]
        seconds = self._seconds(lot[0])
        while self.todo and (seconds := seconds + self._seconds(self.todo[0])) <= LASTS:
            lot.append(self.todo.popleft())
        return lot

    def _seconds(self, trial: Trial) -> float:
        return LASTS if self.alone else self.took.get(_pace(trial), LASTS)

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        lot, seconds = self.given.pop(trial_id), (result or {}).get("seconds", [])
        self.took |= zip(map(_pace, lot), seconds, strict=False)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the records are the state."""


def as_config(lot: list[Trial]) -> dict[str, str]:
    """What Tune hands to a worker."""
    return {"trials": "\n".join(trial.model_dump_json() for trial in lot)}


def trials_of(config: dict[str, str]) -> list[Trial]:
    """The trials that Tune's configuration holds."""
    return [Trial.model_validate_json(line) for line in config["trials"].splitlines()]


def _pace(trial: Trial) -> Pace:
    return trial.label, kind(trial)

"""Lets Optuna choose hyperparameters: as many samples for every method, task and seed, each its own search."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna

from benchmark.experiment.coverage import own_records
from benchmark.experiment.record import Record
from benchmark.experiment.sampling import space
from benchmark.experiment.study import Slot, Study
from benchmark.method.domains import Choice
from benchmark.runner.lots import as_config
from benchmark.runner.ray_import import tune

OBJECTIVES = ("val_accuracy", "param_sparsity")  # what a search maximises

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Search(tune.search.Searcher):
    """One multi-objective Optuna search per slot, taken in turn; earlier records are what each knows at its start.

    Ray Tune's own OptunaSearch cannot be given evaluated points with more than one objective, so it could not resume.
    """

    def __init__(self, study: Study, todo: list[Slot], records: list[Record]):
        super().__init__()
        self.study, self.todo = study, list(todo)
        self.spaces = {label: _distributions(study, label) for label in study.tables}
        self.asked: dict[str, tuple[Slot, optuna.Trial]] = {}
        self.results: dict[str, dict] = {}  # of trials whose worker fails once it has handed them over
        known = {slot: [] for slot in study.slots()}
        for record in own_records(study, records):
            known[Slot(label=record.label, task=record.task, seed=record.seed)].append(record)
        self.searches = {slot: _optuna(slot, made, self.spaces[slot.label]) for slot, made in known.items()}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> dict[str, str] | str:
        if not self.todo:
            return tune.search.Searcher.FINISHED
        slot = self.todo.pop(0)
        asked = self.searches[slot].ask(self.spaces[slot.label])
        self.asked[trial_id] = slot, asked
        trial = self.study.trial(slot, self.study.setting(slot.label, asked.params))
        return as_config([trial])

    def on_trial_result(self, trial_id: str, result: dict) -> None:
        self.results[trial_id] = result

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        slot, asked = self.asked[trial_id]
        found = result or self.results.get(trial_id)
        if found is None:  # what was lost with its worker says nothing of the values
            self.searches[slot].tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            self.searches[slot].tell(asked, [found.get(name, 0.0) for name in OBJECTIVES])

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
    for name, domain in space(study, label).items():
        if isinstance(domain, Choice):
            found[name] = optuna.distributions.CategoricalDistribution(domain.options)
        else:
            found[name] = optuna.distributions.FloatDistribution(*domain.bounds, log=domain.log)
    return found

"""Conditions of sparsity: one method's setting, changed in one factor at a time, and in two factors at once."""

from __future__ import annotations

import itertools
from typing import Any

from pydantic import model_validator

from benchmark.experiment.trial import Strict, Task

TASK = tuple(set(Task.model_fields) - {"dataset"})
CONTROL = "control"  # what tables of levels call the rows of the study's other methods, in place of a factor
PROTOCOL = ("batch_size", "decay", "decays")  # not the epochs: a condition has the study's budget


class Conditions(Strict):
    """Factors around the setting of one of the study's methods, `of`: by factor and level, what the level changes.

    A change is an option of the task, of the protocol, or a hyperparameter; one that names a method takes nothing over
    from the setting but the rest of the task and the protocol. An empty change is the setting itself. The two
    factors in `crossed`, which must change different things, are also combined, each level with each.
    """

    of: str
    """The label whose setting is changed."""
    factors: dict[str, dict[str, dict[str, Any]]]
    """By factor and level what the level changes: a hyperparameter, or a key of task or protocol."""
    crossed: list[str] = []
    """Two factors that are also combined."""

    @model_validator(mode="after")
    def _consistent(self) -> Conditions:
        if CONTROL in self.factors:
            raise ValueError(f"a factor is named {CONTROL!r}, as the rows of the study's other methods are")
        for factor in self.crossed:
            if factor not in self.factors:
                raise ValueError(f"crossed names the factor {factor!r}, which is none of {', '.join(self.factors)}")
        if len(self.crossed) not in (0, 2):
            raise ValueError("crossed takes two factors")
        if self.crossed:
            one, other = (set().union(*self.factors[factor].values()) for factor in self.crossed)
            both = sorted(one & other | {"method"} & (one | other))
            if both:
                raise ValueError(f"the crossed factors both change {both[0]!r}, or one changes the method")
        return self

    def label(self, **levels: str) -> str:
        """The study's label for a condition, given by factor and level; what it does not name is as in `of`."""
        changed = [f"{factor}: {level}" for factor, level in levels.items() if self.factors[factor][level]]
        return ", ".join(changed) or self.of

    def labels(self) -> dict[str, dict[str, Any]]:
        """By label what each condition changes, but for the setting itself."""
        changes = {
            self.label(**{factor: level}): change
            for factor, levels in self.factors.items()
            for level, change in levels.items()
        }
        for pair in itertools.product(*(self.factors[factor] for factor in self.crossed)):
            levels = dict(zip(self.crossed, pair, strict=True))
            parts = [self.factors[factor][level] for factor, level in levels.items()]
            changes[self.label(**levels)] = {key: value for part in parts for key, value in part.items()}
        return {label: change for label, change in changes.items() if label != self.of}


def expand(conditions: Conditions, methods: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The study's methods with one more for each condition: its table says what it changes of task and protocol."""
    reference = {"method": conditions.of, **methods[conditions.of]}
    expanded = dict(methods)
    for label, change in conditions.labels().items():
        task: dict[str, Any] = {}
        protocol: dict[str, Any] = {}
        hyperparameters: dict[str, Any] = {} if "method" in change else dict(reference)
        for key, value in change.items():
            place = task if key in TASK else protocol if key in PROTOCOL else hyperparameters
            place[key] = value
        expanded[label] = {**hyperparameters, "task": task, "protocol": protocol, "title": label}
    return expanded

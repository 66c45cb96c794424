"""A study: a TOML file that becomes a validated, deterministic list of trials."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from benchmark.errors import UsageError, first_line
from benchmark.experiment.brought import identify
from benchmark.experiment.conditions import Conditions, expand
from benchmark.experiment.consistency import problems
from benchmark.experiment.explanation import explained
from benchmark.experiment.hashing import keys_with
from benchmark.experiment.names import study_path
from benchmark.experiment.published import Published
from benchmark.experiment.sampling import draw, space
from benchmark.experiment.trial import MOST, MethodSetting, Protocol, Seed, Strict, Task, Trial, shared_training
from benchmark.experiment.tuning import Tuning, following
from benchmark.method.registry import check_names, get_method

KEYS: dict[str, type[Strict]] = {"protocol": Protocol, "tasks": Task, "tuning": Tuning, "published": Published}
NOT_HYPERPARAMETERS = ("method", "title", "task", "protocol", "points", "follows", "fine_tune")
FINE_TUNED = " + fine-tune"  # how the legend of every label ends whose trials do
T = TypeVar("T", Task, Protocol)


class Slot(Strict):
    """Where a method is tuned by itself: on one task with one seed."""

    label: str
    task: Task
    seed: int


class Study(Strict):
    """Tasks × methods × seeds under one protocol; each method at its knob points, or at samples of its whole space.

    With the sampler `grid` a method's knob takes the listed points. With `random` and `optuna` every method gets the
    same number of samples for each task and seed, of all hyperparameters that its table does not fix; a list for the
    knob is then its range.
    A method's table may give `points` in place of a list for the knob: for each point the hyperparameters it sets. With
    `tuning` the study's trials follow from its earlier records (see tuning.py); a label that `follows` another is then
    evaluated at the shapes that the other one ended with on the tuning seed.

    A reproduction compares nothing: each label may have its own paper's recipe and network, as what its table changes
    of `task` and `protocol`, and is held against what was `published`.
    """

    name: str
    title: str
    """What pages and figures call the study."""
    protocol: Protocol
    """The budget that all methods share."""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    """Each gives its own initial weights and order of the data."""
    tasks: Annotated[list[Task], Field(min_length=1)]
    """One table for each dataset with a network."""
    methods: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """A table for each label."""
    kind: Literal["comparison", "reproduction"] = "comparison"
    """A reproduction compares nothing: each label may have its own paper's `task` and `protocol`."""
    published: dict[str, Published] = {}
    """In a reproduction: by label what its paper published."""
    conditions: Conditions | None = None
    """One method's setting, changed in one factor at a time."""
    sampler: Literal["grid", "random", "optuna"] = "grid"
    """The points of each knob, or samples of every hyperparameter that a method's table does not fix."""
    samples: Annotated[int, Field(ge=1, le=MOST)] | None = None
    """With random and optuna: so many for each method, task and seed."""
    tuning: Tuning | None = None
    """Every label's hyperparameters are chosen first, from equally many candidates."""

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        for problem in problems(self, NOT_HYPERPARAMETERS):
            raise UsageError(f"study {self.name!r}: {problem}")
        check_names(str(table.get("method", label)) for label, table in self.tables.items())
        return self

    def plain(self, methods: dict[str, dict[str, Any]], seeds: list[int]) -> Study:
        """The study of other method tables and seeds, without tuning."""
        return Study(
            name=self.name, title=self.title, protocol=self.protocol, seeds=seeds, tasks=self.tasks, methods=methods
        )

    @cached_property
    def tables(self) -> dict[str, dict[str, Any]]:
        """By label what the study says of it: of each method, and of each condition."""
        return expand(self.conditions, self.methods) if self.conditions else self.methods

    @property
    def protocols(self) -> list[Protocol]:
        """The study's protocol, and what its conditions make of it."""
        return [self.protocol, *(self.changed(self.protocol, label, "protocol") for label in self.tables)]

    def slots(self) -> list[Slot]:
        """Every method's place on every task with every seed."""
        return [
            Slot(label=label, task=self.changed(task, label, "task"), seed=seed)
            for task in self.tasks
            for seed in self.seeds
            for label in self.tables
        ]

    def trials(self) -> list[Trial]:
        """Every trial that is known beforehand, in a fixed order; none with the sampler `optuna`.

        Raises UsageError for what no method accepts, and for a study with tuning: its trials follow from records.
        """
        self._refuse_tuning()
        if self.sampler == "grid":
            seeds = [(trials, seed) for trials in self._with_first_seed() for seed in self.seeds]
            return [trial.model_copy(update={"seed": seed}) for trials, seed in seeds for trial in trials]
        for label in self.tables:
            space(self, label)
        draws = range(self.samples or 0) if self.sampler == "random" else ()
        return [self.trial(slot, self.setting(slot.label, draw(self, slot, i))) for slot in self.slots() for i in draws]

    def labels(self) -> dict[str, str]:
        """By key the label of every trial that `trials` gives, in a fraction of its time. Raises UsageError as it."""
        self._refuse_tuning()
        if self.sampler != "grid":
            return {trial.key: trial.label for trial in self.trials()}
        first = (trial for trials in self._with_first_seed() for trial in trials)
        return {key: trial.label for trial in first for key in keys_with(trial, self.seeds)}

    def _with_first_seed(self) -> Iterator[list[Trial]]:
        """For each task the trials of all points with the first seed; as valid are those of the others."""
        points = {label: self.points(label) for label in self.tables}
        for task in self.tasks:
            slots = [Slot(label=x, task=self.changed(task, x, "task"), seed=self.seeds[0]) for x in points]
            trials = [self.trial(slot, setting) for slot in slots for setting in points[slot.label]]
            if task == self.tasks[0]:
                self._refuse_duplicates(trials)
            yield trials

    def _refuse_tuning(self) -> None:
        if self.tuning is not None:
            raise UsageError(f"study {self.name!r} is tuned first: its trials follow from its records")

    @property
    def size(self) -> int:
        """The number of trials, those included that the sampler has yet to choose."""
        return sum(self.planned().values())

    def planned(self) -> dict[str, int]:
        """By label the number of its trials: at most, where it follows another and two shapes may be the same."""
        swept = {label: following(self).get(label, label) for label in self.tables}
        points = {x: len(self.points(y)) if self.samples is None else self.samples for x, y in swept.items()}
        return {label: count * len(self.tasks) * len(self.seeds) for label, count in points.items()}

    def trial(self, slot: Slot, setting: MethodSetting) -> Trial:
        """The trial of a method's setting in its slot."""
        return Trial(
            study=self.name,
            label=slot.label,
            task=slot.task,
            setting=setting,
            base=self.base(setting, slot.task),
            protocol=self.changed(self.protocol, slot.label, "protocol"),
            seed=slot.seed,
            fine_tune=self.fine_tune(slot.label),
        )

    def setting(self, label: str, values: dict[str, Any]) -> MethodSetting:
        """A label's method with these hyperparameters and those that its table fixes. Raises UsageError."""
        name, fixed, _ = self.table(label)
        method = get_method(name)
        try:
            hyperparameters = method.validate({**fixed, **values})
        except ValueError as error:
            raise UsageError(f"study {self.name!r}: [methods.{label}]: {error}") from None
        return MethodSetting(method=name, version=method.version, hyperparameters=hyperparameters)

    def legend(self, label: str) -> str:
        """What a legend calls a label: what its table says, else its method's title; and whether it fine-tunes."""
        name = self.method_name(label)
        default = get_method(name).title + ("" if label == name else f" ({label})")
        title = str(self.tables[label].get("title", default)).removesuffix(FINE_TUNED)
        changed = self.fine_tune(label)
        tunes = get_method(name).fine_tunes if changed is None else changed
        return title + (FINE_TUNED if tunes and self.protocol.fine_tune_epochs else "")

    @property
    def headings(self) -> dict[str, str]:
        """By task the study's title, with the task in words where there are several."""
        one = len(self.tasks) == 1
        return {task.name: self.title if one else f"{self.title}: {task.words}" for task in self.tasks}

    def fine_tune(self, label: str) -> bool | None:
        """Whether the label's trials fine-tune, where its table says other than its method; else None."""
        usual = get_method(self.method_name(label)).fine_tunes
        said = self.tables[label].get("fine_tune", usual)
        return None if said == usual else said

    def method_name(self, label: str) -> str:
        """The name of a label's method."""
        return self.table(label)[0]

    def table(self, label: str) -> tuple[str, dict[str, Any], list[Any] | None]:
        """A label's method, the hyperparameters that its table fixes, and the list it gives for the knob."""
        fixed = {key: value for key, value in self.tables[label].items() if key not in NOT_HYPERPARAMETERS}
        name = self.tables[label].get("method", label)
        knob = get_method(name).knob
        points = fixed.pop(knob) if knob is not None and isinstance(fixed.get(knob), list) else None
        return name, fixed, points

    def points(self, label: str) -> list[MethodSetting]:
        """A label's settings with the sampler `grid`, one for each of its points. Raises UsageError."""
        if "points" in self.tables[label]:
            listed = self.tables[label]["points"]
            self._check_conditions(label, len(listed), "points")
            return [self.setting(label, point) for point in listed]
        name, fixed, points = self.table(label)
        knob = get_method(name).knob
        if knob is None or knob in fixed:
            return [self.setting(label, {})]
        points = list(getattr(get_method(name).space[knob], "grid", ())) if points is None else points
        if not points:
            raise UsageError(f"study {self.name!r}: [methods.{label}] has no point for its knob {knob!r}")
        self._check_conditions(label, len(points), f"points for its knob {knob!r}")
        return [self.setting(label, {knob: point}) for point in points]

    def _check_conditions(self, label: str, count: int, what: str) -> None:
        """A label of a conditions study has one setting: its records are those of a row. Raises UsageError."""
        if self.conditions and count > 1:
            raise UsageError(f"study {self.name!r}: [methods.{label}] has {count} {what}; beside conditions it has one")

    def changed(self, options: T, label: str, kind: str) -> T:
        """A task or the protocol with what a condition changes of it. Raises UsageError."""
        change = self.tables[label].get(kind)
        if not change:
            return options
        try:
            return type(options).model_validate({**options.model_dump(), **change})
        except ValidationError as error:
            raise explained(self.name, error, {"": type(options)}) from None

    def _refuse_duplicates(self, trials: list[Trial]) -> None:
        """Raises UsageError where two of one slot's trials are the same under two labels, or twice under one."""
        labels: dict[str, str] = {}
        for trial in trials:
            if labels.get(trial.key) == trial.label:
                raise UsageError(f"[methods.{trial.label}] has a knob point twice")
            if trial.key in labels:
                raise UsageError(f"[methods.{trial.label}] repeats a point of [methods.{labels[trial.key]}]")
            labels[trial.key] = trial.label

    def base(self, setting: MethodSetting, task: Task) -> MethodSetting | None:
        """The base of a setting, as the study fixes it, else by its method's defaults; a checkpoint replaces it."""
        name = get_method(setting.method).base
        if name == setting.method:
            return shared_training(setting)
        if name is None or task.checkpoint is not None:
            return None
        if name in self.methods and self.table(name)[0] == name:
            return self.setting(name, {})
        method = get_method(name)
        return MethodSetting(method=name, version=method.version, hyperparameters=method.validate({}))


def load_study(name: str, results: Path | None = None) -> Study:
    """A study by name, or from a path that ends in .toml; `results`: see `identify`. Raises UsageError."""
    path = study_path(name)
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise UsageError(f"study file {name} cannot be read: it is no file")
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except FileNotFoundError:
        raise UsageError(f"study file {name} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"study file {name!r} cannot be read: {first_line(error)}") from None
    try:
        if "name" in table:  # it names a folder: the file's own name is the only one
            raise UsageError(f"study {name!r}: unknown key 'name'; a study is called as its file is")
        identify(table, path, results)
        return Study.model_validate({"name": path.stem, **table})
    except ValidationError as error:
        raise explained(name, error, KEYS | {"": Study}) from None

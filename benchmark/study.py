"""A study: a TOML file that becomes a validated, deterministic list of trials."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmark.data import check_name
from benchmark.errors import UsageError, unknown
from benchmark.models import ACTIVATIONS, NETWORKS, NORM_NAMES
from benchmark.registry import get_method

SCHEMA = 1  # raised when the suite itself would compute other results, or records get another layout
STUDIES = Path(__file__).parent / "studies"


class Strict(BaseModel):
    """Fixed fields, no coercion between types, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Task(Strict):
    """A dataset and a network."""

    dataset: str
    network: str
    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = ()
    activation: str = "relu"
    norm: str = "batch"

    @model_validator(mode="after")
    def _known(self) -> Task:
        check_name(self.dataset)
        names = {"network": NETWORKS, "activation": ACTIVATIONS, "norm": NORM_NAMES}
        for kind, valid in names.items():
            if getattr(self, kind) not in valid:
                raise unknown(kind, getattr(self, kind), valid)
        return self

    @property
    def name(self) -> str:
        """What identifies the task to a reader, for example `digits-mlp-256`."""
        parts = [self.dataset, self.network, *map(str, self.widths)]
        defaults = {"activation": "relu", "norm": "batch"}
        parts += [getattr(self, k) for k, v in defaults.items() if getattr(self, k) != v]
        return "-".join(parts)


class Protocol(Strict):
    """The budget that all methods of a study share."""

    epochs: Annotated[int, Field(ge=1)]
    fine_tune_share: Annotated[float, Field(ge=0, lt=1)] = 0.25
    batch_size: Annotated[int, Field(ge=2)] = 64
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    decays: Annotated[int, Field(ge=0)] = 3
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Protocol:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self

    @property
    def fine_tune_epochs(self) -> int:
        """Epochs after removal, for methods that fine-tune; the others train through them."""
        return round(self.epochs * self.fine_tune_share)

    def learning_rate_factor(self, epoch: int) -> float:
        """The schedule: × `decay` at `decays` evenly spaced epochs."""
        return self.decay ** (epoch * (self.decays + 1) // self.epochs)


class MethodSetting(Strict):
    """A method with all its hyperparameters."""

    method: str
    version: int
    hyperparameters: dict[str, float | str]


class Trial(Strict):
    """One point of a study. `label` is the study's name for the method with these settings, the legend's entry."""

    study: str
    label: str
    task: Task
    setting: MethodSetting
    base: MethodSetting | None
    protocol: Protocol
    seed: int

    @property
    def key(self) -> str:
        """SHA-256 over exactly what determines the result."""
        return trial_key(SCHEMA, self.task, self.setting, self.base, self.protocol, self.seed)

    @property
    def stages(self) -> tuple[int, int]:
        """The epochs at which the base's training and the method's own end; fine-tuning, if any, fills the rest.

        A base that is only pruned takes all epochs but the fine-tuning ones, a base that is trained on half of them.
        """
        method = get_method(self.setting.method)
        tuned = self.protocol.epochs - (self.protocol.fine_tune_epochs if method.fine_tunes else 0)
        if self.base is None:
            return 0, tuned
        return (tuned // 2 if method.trains_base else tuned), tuned

    @property
    def base_trial(self) -> Trial | None:
        """The trial whose first `stages[0]` epochs this one starts from."""
        if self.base is None:
            return None
        return self.model_copy(update={"label": self.base.method, "setting": self.base, "base": None})

    @property
    def base_key(self) -> str | None:
        """What identifies the base network: its trial's key and how long it was trained."""
        return f"{self.base_trial.key}-{self.stages[0]}" if self.base else None


def trial_key(
    schema: int, task: Task, setting: MethodSetting, base: MethodSetting | None, protocol: Protocol, seed: int
) -> str:
    """SHA-256 over the canonical JSON of its arguments, as 64 hexadecimal digits."""
    parts = {
        "schema": schema,
        "task": task.model_dump(mode="json"),
        "setting": setting.model_dump(mode="json"),
        "base": base and base.model_dump(mode="json"),
        "protocol": protocol.model_dump(mode="json"),
        "seed": seed,
    }
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class Study(Strict):
    """Tasks × methods at their knob points × seeds, under one protocol."""

    name: str
    title: str
    protocol: Protocol
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    tasks: Annotated[list[Task], Field(min_length=1)]
    methods: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]

    @model_validator(mode="after")
    def _nothing_twice(self) -> Study:
        for kind, items in {"seed": self.seeds, "task": [t.name for t in self.tasks]}.items():
            twice = [item for item in items if items.count(item) > 1]
            if twice:
                raise ValueError(f"{kind} {twice[0]!r} is there twice")
        return self

    def trials(self) -> list[Trial]:
        """Every trial, in a fixed order. Raises UsageError for what no method accepts."""
        points = {label: self._settings(label, dict(table)) for label, table in self.methods.items()}
        _refuse_duplicates(points)
        return [
            Trial(
                study=self.name, label=label, task=task, setting=setting, base=self._base(setting, points),
                protocol=self.protocol, seed=seed,
            )
            for task in self.tasks
            for seed in self.seeds
            for label, settings in points.items()
            for setting in settings
        ]  # fmt: skip

    def _settings(self, label: str, table: dict[str, Any]) -> list[MethodSetting]:
        name = table.pop("method", label)
        method = get_method(name)
        knob = method.knob
        domain = method.space.get(knob)
        points = table.pop(knob, list(getattr(domain, "grid", ())) or None) if knob else [None]
        points = points if isinstance(points, list) else [points]
        if not points or (points == [None] and knob):
            raise UsageError(f"study {self.name!r}: [methods.{label}] has no point for its knob {knob!r}")
        settings = []
        for point in points:
            given = table if knob is None else {**table, knob: point}
            try:
                values = method.validate(given)
            except ValueError as error:
                raise UsageError(f"study {self.name!r}: [methods.{label}]: {error}") from None
            settings.append(MethodSetting(method=name, version=method.version, hyperparameters=values))
        return settings

    def _base(self, setting: MethodSetting, points: dict[str, list[MethodSetting]]) -> MethodSetting | None:
        """The setting of the base network: the study's own for that method, else the method's defaults."""
        name = get_method(setting.method).base
        if name is None:
            return None
        base = get_method(name)
        default = MethodSetting(method=name, version=base.version, hyperparameters=base.validate({}))
        return points.get(name, [default])[0]


def _refuse_duplicates(points: dict[str, list[MethodSetting]]) -> None:
    seen: dict[str, str] = {}
    for label, settings in points.items():
        for setting in settings:
            other = seen.setdefault(setting.model_dump_json(), label)
            if other != label:
                raise UsageError(f"[methods.{label}] repeats a point of [methods.{other}]")
        if len({s.model_dump_json() for s in settings}) < len(settings):
            raise UsageError(f"[methods.{label}] has a knob point twice")


def study_names() -> list[str]:
    """The studies that come with the suite."""
    return sorted(path.stem for path in STUDIES.glob("*.toml"))


def load_study(name: str) -> Study:
    """A study by name, or from a path that ends in .toml. Raises UsageError where it is not valid."""
    path = Path(name) if name.endswith(".toml") else STUDIES / f"{name}.toml"
    if not name.endswith(".toml") and name not in study_names():
        raise unknown("study", name, study_names())
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"study file {name} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"study file {name} cannot be read: {error}") from None
    try:
        if "name" in table:  # it names a folder: the file's own name is the only one
            raise UsageError(f"study {name!r}: unknown key 'name'; a study is called as its file is")
        return Study.model_validate({"name": path.stem, **table})
    except ValidationError as error:
        raise _explained(name, error) from None


def _explained(name: str, error: ValidationError) -> UsageError:
    """The first problem of a study file; a misspelt key comes before the key that it leaves missing."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        level = {"protocol": Protocol, "tasks": Task}.get(str(first["loc"][0]) if len(first["loc"]) > 1 else "", Study)
        return UsageError(f"study {name!r}: {unknown('key', first['loc'][-1], level.model_fields)} (at {place})")
    if first["type"] == "missing":
        return UsageError(f"study {name!r}: the key {place!r} is missing")
    return UsageError(f"study {name!r}: {place}: {first['msg']}, not {first.get('input')!r}")

"""What determines a trial's result, and the key made of it."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from benchmark.data.names import check_augmentation, check_dataset, slug
from benchmark.errors import UsageError
from benchmark.method.domains import Real
from benchmark.method.registry import get_method
from benchmark.networks.names import check as check_network

SCHEMA = 1  # raised when the suite itself would compute other results, or records get another layout

MOST = 10**6  # epochs, samples, …: more is a slip of the pen
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what scikit-learn splits with


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
    augment: str | None = None  # of the training images; None, and so no part of the key: as they are

    @model_validator(mode="after")
    def _known(self) -> Task:
        check_dataset(self.dataset)
        if self.augment is not None:
            check_augmentation(self.augment)
        try:
            check_network(self.network, self.widths, self.activation, self.norm)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return self

    @property
    def name(self) -> str:
        """What identifies the task to a reader, for example `digits-mlp-256`."""
        parts = [slug(self.dataset), self.network, *map(str, self.widths)]
        defaults = {"activation": "relu", "norm": "batch", "augment": None}
        parts += [getattr(self, k) for k, v in defaults.items() if getattr(self, k) != v]
        return "-".join(parts)

    @property
    def words(self) -> str:
        """The task for a heading, for example `mlp 256 on digits`."""
        network = " ".join([self.network, ", ".join(map(str, self.widths))]).strip()
        others = {"activation": "relu", "norm": "batch", "augment": None}
        changed = [f"{name} {getattr(self, name)}" for name, usual in others.items() if getattr(self, name) != usual]
        return f"{network} on {slug(self.dataset)}" + (f" ({', '.join(changed)})" if changed else "")


class Protocol(Strict):
    """The budget that all methods of a study share."""

    epochs: Annotated[int, Field(ge=1, le=MOST)]
    fine_tune_share: Annotated[float, Field(ge=0, lt=1)] = 0.25
    batch_size: Annotated[int, Field(ge=2, le=MOST)] = 64
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    decays: Annotated[int, Field(ge=0, le=MOST)] = 3
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: int | Literal["seed"] = 0  # "seed": each seed has its own validation set

    @field_validator("split_seed", mode="before")
    @classmethod
    def _is_a_seed(cls, value: Any) -> Any:
        if value != "seed" and (type(value) is not int or not 0 <= value < 2**32):
            raise ValueError('it has to be a number from 0 to 2³² − 1, or "seed"')
        return value

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Protocol:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self

    @property
    def fine_tune_epochs(self) -> int:
        """Epochs after removal, for trials that fine-tune; the others train through them."""
        return round(self.epochs * self.fine_tune_share)

    def learning_rate_factor(self, epoch: int, epochs: int) -> float:
        """The schedule over a part of the training: × `decay` at `decays` evenly spaced of its epochs 0 … epochs − 1.

        It runs through in each part: in a base, in what is trained on it, and again in fine-tuning.
        """
        return self.decay ** (epoch * (self.decays + 1) // epochs)


class MethodSetting(Strict):
    """A method with all its hyperparameters."""

    method: str
    version: int
    hyperparameters: dict[str, float | str]


def shared_training(setting: MethodSetting) -> MethodSetting:
    """The base of a method that is its own: its setting with the knob at the lowest, one for all points of the knob.

    Raises UsageError for a method whose knob is no number.
    """
    method = get_method(setting.method)
    domain = method.space[method.knob] if method.knob else None
    if not isinstance(domain, Real):
        raise UsageError(f"{setting.method} is its own base, so its knob has to be a number")
    lowest = {method.knob: float(domain.low)}
    return setting.model_copy(update={"hyperparameters": {**setting.hyperparameters, **lowest}})


class Trial(Strict):
    """One point of a study. `label` is the study's name for the method with these settings, the legend's entry."""

    study: str
    label: str
    task: Task
    setting: MethodSetting
    base: MethodSetting | None
    protocol: Protocol
    seed: int
    fine_tune: bool | None = None  # whether the reduced network is; None, and so no part of the key: as its method does

    @property
    def key(self) -> str:
        """SHA-256 over exactly what determines the result."""
        return trial_key(SCHEMA, self.task, self.setting, self.base, self.protocol, self.seed, self.fine_tune)

    @property
    def fine_tunes(self) -> bool:
        """Whether the protocol's fine-tuning epochs are spent on the reduced network."""
        return get_method(self.setting.method).fine_tunes if self.fine_tune is None else self.fine_tune

    @property
    def split_seeds(self) -> tuple[int, int]:
        """The seeds that split off the validation and the test set; where each seed has its own split, one test set."""
        given = self.protocol.split_seed
        return (self.seed, 0) if given == "seed" else (given, given)

    @property
    def stages(self) -> tuple[int, int]:
        """The epochs at which the base's training and the method's own end; fine-tuning, if any, fills the rest.

        A base that is only pruned takes all epochs but the fine-tuning ones, a base that is trained on half of them.
        """
        method = get_method(self.setting.method)
        tuned = self.protocol.epochs - (self.protocol.fine_tune_epochs if self.fine_tunes else 0)
        if self.base is None:
            return 0, tuned
        return (tuned // 2 if method.trains_base else tuned), tuned

    @property
    def base_trial(self) -> Trial | None:
        """The trial whose training, over `stages[0]` epochs, this one starts from."""
        if self.base is None:
            return None
        own = {"label": self.base.method, "setting": self.base, "base": None, "fine_tune": None}
        return self.model_copy(update=own)

    @property
    def base_key(self) -> str | None:
        """What identifies the base network: its trial's key and the epochs over which its schedule ran."""
        base = self.base_trial
        return f"{base.key}-over-{self.stages[0]}" if base else None


@cache
def _plain(part: Task | Protocol) -> dict[str, Any]:
    """What its key is made of; few parts make many keys."""
    return part.model_dump(mode="json", exclude_none=True)


def trial_key(
    schema: int,
    task: Task,
    setting: MethodSetting,
    base: MethodSetting | None,
    protocol: Protocol,
    seed: int,
    fine_tune: bool | None = None,
) -> str:
    """SHA-256 over the canonical JSON of its arguments, as 64 hexadecimal digits.

    Options that are None are left out, so a new option changes no key that was made before it.
    """
    parts: dict[str, Any] = {
        "schema": schema,
        "task": _plain(task),
        "setting": setting.model_dump(mode="json"),
        "base": base and base.model_dump(mode="json"),
        "protocol": _plain(protocol),
        "seed": seed,
        **({} if fine_tune is None else {"fine_tune": fine_tune}),
    }
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

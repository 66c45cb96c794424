"""What determines a trial's result."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from benchmark import own_files
from benchmark.data.names import check_augmentation, check_dataset, slug
from benchmark.errors import UsageError
from benchmark.experiment.hashing import SCHEMA, trial_key
from benchmark.method.domains import Real
from benchmark.method.registry import get_method
from benchmark.networks.names import check as check_network
from benchmark.networks.names import check_features, is_own

MOST = 10**6  # epochs, samples, …: more is a slip of the pen
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what scikit-learn splits with
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Fixed fields, no coercion between types, immutable; what stands below a field says what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Task(Strict):
    """A dataset and a network. What is None is no part of the key: tasks without it keep theirs."""

    dataset: str
    """A name (`deadweight list datasets`), or one's own: npz:FILE, FILE.py:FUNCTION, imagefolder:PATH."""
    network: str
    """A name (`deadweight list networks`), or one's own: FILE.py:FUNCTION."""
    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = ()
    """Of the hidden layers; the network's own where there are none."""
    activation: str = "relu"
    """Or leaky_relu, elu, selu, gelu, silu, tanh, sigmoid."""
    norm: str = "batch"
    """Or none."""
    augment: str | None = None
    """Of the training images: crop, flip or crop-flip; without it they stay as they are."""
    checkpoint: str | None = None
    """The file of weights, a state dict, that training starts from; without it from initial weights."""
    network_sha256: Sha256 | None = None
    """Of the source of a network of the user's own."""
    checkpoint_sha256: Sha256 | None = None
    """Of the checkpoint's file."""
    features: Literal["single"] | None = None
    """What the first dense layer reads, pixels or flattened channels, goes one by one too, not counted as channels."""

    @model_validator(mode="after")
    def _known(self) -> Task:
        check_dataset(self.dataset)
        for kind, name, sha256 in self._own:
            if (name is None) != (sha256 is None):
                raise UsageError(f"the {kind} {name!r} has the hash {sha256}: own files are named by a study's file")
            if name is not None:
                own_files.check_name(name)
        if self.augment is not None:
            check_augmentation(self.augment)
        try:
            check_network(self.network, self.widths, self.activation, self.norm)
            if self.features is not None:
                check_features(self.network)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return self

    @property
    def _own(self) -> tuple[tuple[str, str | None, str | None], ...]:
        """What the user may bring: its kind, its name and its hash."""
        network = self.network if is_own(self.network) else None
        return ("network", network, self.network_sha256), ("checkpoint", self.checkpoint, self.checkpoint_sha256)

    @property
    def brought(self) -> dict[str, str]:
        """The hash of each file of the user's own that is part of the key, by name."""
        return {name: sha256 for _, name, sha256 in self._own if name is not None and sha256 is not None}

    @property
    def name(self) -> str:
        """What identifies the task to a reader, for example `digits-mlp-256`."""
        network = own_files.slug(self.network) if is_own(self.network) else self.network.replace(":", "-")
        parts = [slug(self.dataset), network, *map(str, self.widths)]
        defaults = {"activation": "relu", "norm": "batch", "augment": None}
        parts += [getattr(self, k) for k, v in defaults.items() if getattr(self, k) != v]
        parts += [f"{self.features}-features"] if self.features else []
        return "-".join([*parts, *(["from", own_files.slug(self.checkpoint)] if self.checkpoint else [])])

    @property
    def words(self) -> str:
        """The task for a heading, for example `mlp 256 on digits`."""
        network = " ".join([self.network, ", ".join(map(str, self.widths))]).strip()
        others = {"activation": "relu", "norm": "batch", "augment": None}
        changed = [f"{name} {getattr(self, name)}" for name, usual in others.items() if getattr(self, name) != usual]
        return f"{network} on {slug(self.dataset)}" + (f" ({', '.join(changed)})" if changed else "")


class Protocol(Strict):
    """The budget that all methods of a study share. What is None by default is then no part of the key."""

    epochs: Annotated[int, Field(ge=1, le=MOST)]
    """Of training, fine-tuning included."""
    fine_tune_share: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Of the epochs, after removal, for methods that fine-tune."""
    batch_size: Annotated[int, Field(ge=2, le=MOST)] = 64
    """Samples of a step."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The learning rate's factor at each step of its schedule."""
    decays: Annotated[int, Field(ge=0, le=MOST)] = 3
    """The schedule's steps, evenly spaced over each part of the training."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Of the training samples: every choice is made on these."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Of all samples, where the dataset has no test set of its own."""
    split_seed: int | Literal["seed"] = 0
    """Of both shares; with "seed" each seed has its own validation set."""
    schedule: Literal["cosine"] | None = None
    """Down to nothing, in place of the decays; without it there are the decays."""
    warm_up: Annotated[int, Field(ge=1, le=MOST)] | None = None
    """Epochs at the start of each part in which the learning rate grows evenly; without it none."""
    fine_tune_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    """d of (d/2) ‖all parameters‖² in fine-tuning; without it nothing decays there."""
    watch_test: Literal[True] | None = None
    """In a reproduction alone: also note the test accuracy of the best epoch."""
    channels_last: Literal[True] | None = None
    """Whether channels lie last in memory: faster, equal but for rounding; on GPUs or AVX-512; without it first."""
    precision: Literal["bfloat16"] | None = None
    """Of products while training; weights, and all else, have float32, as products do without it."""

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
        warm_up = self.warm_up or 0
        if epoch < warm_up:
            return (epoch + 1) / (warm_up + 1)
        place, length = epoch - warm_up, epochs - warm_up
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * place / length)) / 2
        return self.decay ** (place * (self.decays + 1) // length)


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
    def starts_from_checkpoint(self) -> bool:
        """Whether its first weights, or its base's, are those of the task's checkpoint."""
        return self.task.checkpoint is not None and not get_method(self.setting.method).starts_anew

    @property
    def split_seeds(self) -> tuple[int, int]:
        """The seeds that split off the validation and the test set; where each seed has its own split, one test set."""
        given = self.protocol.split_seed
        return (self.seed, 0) if given == "seed" else (given, given)

    @property
    def stages(self) -> tuple[int, int]:
        """The epochs at which the base's training and the method's own end; fine-tuning, if any, fills the rest.

        A base that is only pruned takes all epochs but the fine-tuning ones, a base that is trained on half of them. A
        checkpoint that is only pruned takes none, and fine-tuning all.
        """
        method = get_method(self.setting.method)
        tuned = self.protocol.epochs - (self.protocol.fine_tune_epochs if self.fine_tunes else 0)
        if self.base is None:
            pruned = self.starts_from_checkpoint and method.base is not None and not method.trains_base
            return 0, (0 if pruned else tuned)
        return (tuned // 2 if method.trains_base else tuned), tuned

    @property
    def fine_tuning(self) -> range:
        """The epochs after removal."""
        tunes = self.fine_tunes and self.protocol.fine_tune_epochs > 0
        return range(self.stages[1], self.protocol.epochs) if tunes else range(0)

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

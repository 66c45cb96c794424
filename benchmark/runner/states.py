"""The states of trainings under way, kept so that one which is broken off goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from benchmark.errors import UsageError, first_line
from benchmark.experiment.trial import Trial
from benchmark.files import write_whole
from benchmark.runner.binding import made_of
from benchmark.runner.environment import hardware, versions
from benchmark.runner.state import State, UncapturableError, capture, restore
from benchmark.runner.stored import UnfitError, hash_of, pack, unpack

INTERVAL = 60.0  # seconds before the first state of a training, and between two: one that is shorter writes none
PARTS = ("training", "fine-tuning")

Say = Callable[[str], None]


class Storage(Protocol):
    """Where states lie, by name."""

    def read(self, name: str) -> bytes | None:
        """A state's content; None where there is none. Raises UsageError where it cannot be read."""

    def write(self, name: str, content: bytes) -> None:
        """Stores a state, whole or not at all. Raises UsageError where that fails."""


@dataclass(frozen=True)
class StateFolder:
    """States in a folder of this machine's."""

    folder: Path

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""
        path = self.folder / name
        try:
            return path.read_bytes() if path.exists() else None
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        write_whole(self.folder / name, content)

    def remove(self, key: str) -> None:
        """Removes the states of a trial or a base network; what cannot be removed stays."""
        for part in PARTS:
            with suppress(OSError):
                (self.folder / _name(key, part)).unlink(missing_ok=True)

    def keys(self) -> set[str]:
        """Of which trials and base networks there are states."""
        ends = tuple(_name("", part) for part in PARTS)
        return {
            path.name.removesuffix(end) for path in self.folder.glob("*") for end in ends if path.name.endswith(end)
        }


@dataclass(frozen=True)
class States:
    """Where a run's states lie, and the device that its trials run on."""

    storage: Storage
    device: str

    def of(self, trial: Trial, say: Say) -> Kept:
        """The states of a trial; `say` is told in a line of what is not used."""
        made = partial(made_of, trial, trial.setting, trial.base)
        return Kept(self.storage, trial.key, self.device, made, partial(_tell, say, trial.label), INTERVAL)

    def of_base(self, trial: Trial, say: Say) -> Kept:
        """Those of the base network that the trial starts from."""
        made, name = partial(made_of, trial, trial.base), f"the base network of {trial.label}"
        return Kept(self.storage, str(trial.base_key), self.device, made, partial(_tell, say, name), INTERVAL)


@dataclass
class Kept:
    """The states of one trial's training and fine-tuning, or of a base network's training.

    A state is written at an epoch's end, and used only for what it was made of: the same data and code, the hardware
    and versions that the record will name, and the same weights at the part's start.
    """

    storage: Storage
    key: str
    device: str
    made: Callable[[], dict[str, str]]
    say: Say
    interval: float  # seconds before the first state, and between two
    written: float = field(default_factory=time.monotonic)
    stopped: bool = False  # after a state that could not be captured or written
    start: str = ""

    def resume(self, part: str, module: nn.Module, roots: dict[str, Any]) -> int:
        """Brings a part that is about to begin to its state, and says how many epochs that has behind it."""
        self.start = hash_of(module.state_dict().values())
        try:
            content = self.storage.read(_name(self.key, part))
            if content is None:
                return 0
            about, tensors = unpack(content, f"{self.key} {part}", self._made_of())
            random = _random_state(self.device)
            restore(State(about["structure"], tensors), {**roots, "random": random})
            _set_random_state(random)
            return int(about["epochs"])
        except (UnfitError, UsageError) as error:
            self.say(f"begins its {part} anew, its state is not used: {error}")
            return 0

    def epoch_ended(self, part: str, epochs: int, roots: dict[str, Any]) -> None:
        """Writes the state after so many of the part's epochs, where it is time to."""
        if self.stopped or time.monotonic() - self.written < self.interval:
            return
        try:
            state = capture({**roots, "random": _random_state(self.device)})
            about = {**self._made_of(), "epochs": epochs, "structure": state.structure}
            self.storage.write(_name(self.key, part), pack(f"{self.key} {part}", about, state.tensors))
        except UncapturableError as error:
            self._stop(f"cannot be resumed if it is broken off: {error}")
        except (UsageError, MemoryError) as error:
            self._stop(f"keeps no state: {first_line(error)}")
        self.written = time.monotonic()

    def _made_of(self) -> dict[str, str]:
        place = json.dumps([hardware(self.device), versions()], sort_keys=True)
        return {**self.made(), "hardware or versions": place, "first weights": self.start}

    def _stop(self, why: str) -> None:
        self.stopped = True
        self.say(why)


def _random_state(device: str) -> list[Tensor]:
    on_gpu = [torch.cuda.get_rng_state(device)] if device.startswith("cuda") else []
    return [torch.get_rng_state(), *on_gpu]


def _set_random_state(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    for on_gpu in state[1:]:
        torch.cuda.set_rng_state(on_gpu)


def _tell(say: Say, name: str, line: str) -> None:
    say(f"{name} {line}")


def _name(key: str, part: str) -> str:
    return f"{key}-{part}.npz"

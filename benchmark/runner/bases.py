"""Trained base networks in files, each bound to the data, the code and the trial that it was trained of."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.experiment.trial import Trial
from benchmark.files import write_whole
from benchmark.method.registry import get_method
from benchmark.runner.trial import Base, examples

PACKAGE = Path(__file__).parents[1]
CODE = ("data/*.py", "method/*.py", "networks/*.py", "removal/*.py", "runner/train.py", "runner/trial.py")
ABOUT = "about"  # the entry of a file that holds no tensor; names of tensors have a prefix
PREFIX = "state/"


class BaseStore:
    """Trained base networks in a folder; a file is whole or not there, and holds numbers only.

    `say` is told, in a line, of every file that does not fit: its network is then trained again.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self.folder, self.say = folder, say

    def load(self, trial: Trial) -> Base | None:
        """The trial's base network, where it is stored, unchanged, and of today's data and code."""
        path = self._path(trial)
        if not path.exists():
            return None
        try:
            return _read(path, trial)
        except _UnfitError as error:
            reason = str(error)
        except Exception as error:  # whatever a file may hold
            reason = f"it cannot be read ({type(error).__name__})"
        self.say(f"the base network in {path} is trained again: {reason}")
        return None

    def save(self, trial: Trial, trained: Base) -> None:
        """Stores the trial's base network. Raises UsageError where that fails."""
        state, seconds = trained
        about = {**_made_of(trial), "seconds": seconds, "tensors": _digest(trial, trained)}
        arrays = {PREFIX + name: tensor.numpy() for name, tensor in state.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **{ABOUT: np.array(json.dumps(about))})
        write_whole(self._path(trial), buffer.getvalue())

    def _path(self, trial: Trial) -> Path:
        return self.folder / f"{trial.base_key}.npz"


class _UnfitError(ValueError):
    """A stored network is not the one that the trial starts from."""


def _read(path: Path, trial: Trial) -> Base:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        about = json.loads(str(stored[ABOUT]))
        state = {name.removeprefix(PREFIX): torch.from_numpy(stored[name]) for name in stored.files if name != ABOUT}
    for kind, expected in _made_of(trial).items():
        if about[kind] != expected:
            raise _UnfitError(f"it was made of other {kind}")
    trained = state, about["seconds"]
    if about["tensors"] != _digest(trial, trained):
        raise _UnfitError("it was changed")
    return trained


def _made_of(trial: Trial) -> dict[str, str]:
    """What else than the trial's key a network depends on, each as a hash."""
    source = inspect.getsourcefile(get_method(trial.base.method)) if trial.base else None
    own = Path(source).read_bytes() if source else b""
    return {"data": content(trial), "code": hashlib.sha256(_code() + own).hexdigest()}


@cache
def _code() -> bytes:
    """A hash of the code that a training runs through, torch's version included."""
    digest = hashlib.sha256(torch.__version__.encode())
    for path in sorted(path for pattern in CODE for path in PACKAGE.glob(pattern)):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return digest.digest()


def content(trial: Trial) -> str:
    """A hash of the trial's data: of the files that they lie in, or else of the few samples that a library brings."""
    data = examples(trial)
    splits = (data.train, data.validation, data.test)
    return data.content or _hash(x for split in splits for x in (split.images, split.labels))


def _digest(trial: Trial, trained: Base) -> str:
    """A hash of a network's numbers and of the key under which they are stored."""
    state, seconds = trained
    head = json.dumps([trial.base_key, seconds, [(name, str(x.dtype), x.shape) for name, x in state.items()]])
    return hashlib.sha256(f"{head}{_hash(state.values())}".encode()).hexdigest()


def _hash(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()

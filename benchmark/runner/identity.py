"""What makes the results of two machines comparable: their code, their versions and their data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version

import torch

from benchmark import own_files
from benchmark.data.load import load
from benchmark.data.names import data_root
from benchmark.data.stored import download
from benchmark.errors import UsageError, first_line
from benchmark.experiment.trial import Trial
from benchmark.method.registry import PACKAGES
from benchmark.runner.binding import content
from benchmark.runner.luggage import own_modules, place

SUITE = ("benchmark", *PACKAGES)


@dataclass(frozen=True)
class Question:
    """What a machine is asked for: modules whose code counts, files that a study names, one trial of each dataset.

    With `fetch` it downloads what it lacks. Without a cluster there is nothing to ask: that is the empty question.
    """

    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    fetch: bool = False


@dataclass(frozen=True)
class Identity:
    """A machine's versions, a hash of each named content, and why it does not have what is missing."""

    versions: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def differences(self, here: Identity) -> list[str]:
        """What is other there than here, each in a few words."""
        found = list(self.missing.values())
        for name, mine in here.versions.items():
            theirs = self.versions.get(name)
            if theirs != mine:
                found.append(f"{name} is {theirs} there, {mine} here")
        for name, mine in here.contents.items():
            if name in self.contents and self.contents[name] != mine:
                found.append(f"{name} differs")
        return found


def question(trials: list[Trial], fetch: bool) -> Question:
    """What is to be asked before these trials."""
    one_each = {trial.task.dataset: trial for trial in trials}
    files = tuple(name for name, own in own_files.KNOWN.items() if own.sha256)
    return Question((*SUITE, *own_modules()), files, tuple(one_each.values()), fetch)


def identify(asked: Question) -> Identity:
    """This machine's answer. Torch's version is without the part that names its build: CPU and GPU may differ."""
    identity = Identity({"torch": torch.__version__.partition("+")[0], "deadweight": version("deadweight")})
    wanted: dict[str, Callable[[], str]] = {}
    for module in asked.modules:
        wanted[f"the code of {module}"] = partial(_code_hash, module)
    for name in asked.files:
        wanted[f"the file {name}"] = partial(_file_hash, name)
    for trial in asked.trials:
        wanted[f"the data of {trial.task.dataset}"] = partial(_data_hash, trial, asked.fetch)
    for name, found in wanted.items():
        try:
            identity.contents[name] = found()
        except (UsageError, ImportError, OSError) as error:
            identity.missing[name] = f"{name} is missing: {first_line(error)}"
    return identity


def _data_hash(trial: Trial, fetching: bool) -> str:
    if fetching:
        fetch(trial)
    return content(trial)


def _file_hash(name: str) -> str:
    return hashlib.sha256(own_files.get(name).path.read_bytes()).hexdigest()


def fetch(trial: Trial) -> None:
    """Downloads the trial's dataset where it cannot be read. Raises UsageError."""
    try:
        content(trial)
    except UsageError:
        download(trial.task.dataset, data_root())
        load.cache_clear()


def _code_hash(module: str) -> str:
    """A hash of a module's file, or of the Python files of a package with their names."""
    path = place(module)
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return digest.hexdigest()

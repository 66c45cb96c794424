"""What makes the results of two machines comparable: their code, their versions and their data."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch

from benchmark.data.load import load
from benchmark.data.names import data_root
from benchmark.data.stored import download
from benchmark.errors import UsageError, first_line
from benchmark.experiment.trial import Trial
from benchmark.method.registry import PACKAGES, registry
from benchmark.runner.bases import content

SUITE = ("benchmark", *PACKAGES)


@dataclass(frozen=True)
class Question:
    """What a machine is asked for: modules whose code counts, one trial of each dataset, and to download what it lacks.

    Without a cluster there is nothing to ask: that is the empty question.
    """

    modules: tuple[str, ...] = ()
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
    return Question((*SUITE, *own_modules()), tuple(one_each.values()), fetch)


def own_modules() -> list[str]:
    """The packages, or single modules, that hold the user's own methods."""
    names = {method.__module__.partition(".")[0] for method in registry().methods.values()}
    return sorted(names - set(PACKAGES))


def place(module: str) -> Path:
    """The folder of a package, or the file of a module. Raises ImportError."""
    found = importlib.import_module(module)
    return Path(found.__path__[0] if hasattr(found, "__path__") else str(found.__file__))


def identify(asked: Question) -> Identity:
    """This machine's answer. Torch's version is without the part that names its build: CPU and GPU may differ."""
    versions = {"torch": torch.__version__.partition("+")[0], "deadweight": version("deadweight")}
    identity = Identity(versions)
    for module in asked.modules:
        name = f"the code of {module}"
        try:
            identity.contents[name] = _code(place(module))
        except (ImportError, OSError) as error:
            identity.missing[name] = f"{name} is missing: {first_line(error)}"
    for trial in asked.trials:
        name = f"the data of {trial.task.dataset}"
        try:
            if asked.fetch:
                fetch(trial)
            identity.contents[name] = content(trial)
        except (UsageError, OSError) as error:
            identity.missing[name] = f"{name}: {first_line(error)}"
    return identity


def fetch(trial: Trial) -> None:
    """Downloads the trial's dataset where it cannot be read. Raises UsageError."""
    try:
        content(trial)
    except UsageError:
        download(trial.task.dataset, data_root())
        load.cache_clear()


def _code(path: Path) -> str:
    """A hash of a module's file, or of the Python files of a package with their names."""
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return digest.hexdigest()

"""Code of the user's own that travels to the machines of a cluster, and where it lies there."""

from __future__ import annotations

import importlib
import shutil
import sysconfig
from dataclasses import replace
from pathlib import Path

from benchmark import own_files
from benchmark.method.registry import PACKAGES, registry

FOLDER = "deadweight_luggage"  # a package to Python; in it a folder for each file, named by its hash


def own_modules() -> list[str]:
    """The packages, or single modules, of the user's own methods, and of functions that no installed library holds."""
    names = {method.__module__.partition(".")[0] for method in registry().methods.values()}
    installed = Path(sysconfig.get_path("purelib"))
    for name, own in own_files.KNOWN.items():
        if _of_module(name) and installed not in own.path.parents:
            names.add(own_files.home(name).partition(".")[0])
    return sorted(names - set(PACKAGES))


def place(module: str) -> Path:
    """The folder of a package, or the file of a module. Raises ImportError."""
    found = importlib.import_module(module)
    return Path(found.__path__[0] if hasattr(found, "__path__") else str(found.__file__))


def pack(folder: Path) -> list[Path]:
    """Copies the files of code that the study names; returns what is to travel."""
    files = [own for own in own_files.KNOWN.values() if own.sha256 and own.path.suffix == ".py"]
    for own in files:
        target = folder / FOLDER / own.sha256
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(own.path, target / own.path.name)
    return [folder / FOLDER] if files else []


def unpack(known: dict[str, own_files.Own]) -> dict[str, own_files.Own]:
    """The driver's files as they lie here: what travelled, modules where Python finds them, the rest at its path."""
    return {name: _here(name, own) for name, own in known.items()}


def _here(name: str, own: own_files.Own) -> own_files.Own:
    if _of_module(name):
        return replace(own_files.look_up(name, Path(), noted=own.sha256), content=own.content)
    try:
        path = place(FOLDER) / own.sha256 / own.path.name
    except ImportError:
        return own
    return replace(own, path=path) if path.is_file() else own


def _of_module(name: str) -> bool:
    return own_files.is_function(name) and not own_files.home(name).endswith(".py")

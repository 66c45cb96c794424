"""Files of the user's own that a study names: code, arrays, weights. By name in a process, by content in records.

Looking a file up reads and hashes it; nothing is imported. A name in a record opens nothing: known are the names that a
study gave which this process loaded, and what the driver sent to its workers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath

from benchmark.errors import UsageError

FUNCTION = re.compile(r"(?P<home>[^:]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")
LONGEST = 200  # letters of a name


@dataclass(frozen=True)
class Own:
    """A file as this process knows it: where it lies, what it held when a study was loaded, and what was read of it."""

    path: Path
    sha256: str
    content: str | None = None  # of a dataset: the hash of its arrays


KNOWN: dict[str, Own] = {}  # by the name that records have


def is_function(name: str) -> bool:
    """Whether a name is FILE.py:FUNCTION or package.module:FUNCTION."""
    return FUNCTION.fullmatch(name) is not None


def home(name: str) -> str:
    """The file or module of a function's name; the name itself where it is no function's."""
    return name.rpartition(":")[0] if is_function(name) else name


def canonical(name: str) -> str:
    """A file's or function's name as records have it: its path from the study's folder, if it lies in there.

    Without any folder else, so that no record depends on where a file lies.
    """
    place = home(name)
    path = PurePosixPath(place)
    if path.is_absolute() or ".." in path.parts or place.startswith("~"):
        return path.name + name.removeprefix(place)
    return (str(path) if place else "") + name.removeprefix(place)


def check_name(name: str) -> None:
    """Raises UsageError for what is no file's or function's name as records have it."""
    odd = PurePosixPath(home(name)).name in ("", "..") or not name.isprintable() or len(name) > LONGEST
    if odd or canonical(name) != name:
        raise UsageError(f"{name[:LONGEST]!r} is no name of a file in a study's folder")


def slug(name: str) -> str:
    """A name as file names and titles can hold it."""
    place = home(name)
    is_module = is_function(name) and not place.endswith(".py")
    stem = place if is_module else str(PurePosixPath(place).with_suffix(""))
    return re.sub(r"[^A-Za-z0-9_.]+", "-", stem + name.removeprefix(place)).strip("-.") or "own"


def plugins(group: str) -> dict[str, str]:
    """What installed packages offer in a group of entry points: by name their package.module:FUNCTION."""
    return {point.name: point.value for point in entry_points(group=group) if is_function(point.value)}


def installed(name: str, group: str, noted: Mapping[str, str]) -> str:
    """The package.module:FUNCTION that a name stands for by an installed package, else as was noted; else the name."""
    found = plugins(group).get(name) or noted.get(f"{group}:{name}", name)
    return found if is_function(found) else name


def look_up(name: str, folder: Path, noted: str | None = None) -> Own:
    """Makes a file or function known that a study in `folder` names, with the SHA-256 of its file.

    `noted` is that of an earlier look: where the file is not there any more it is taken for its own, so that records
    can be read without it. Raises UsageError where there is neither.
    """
    path = _path(name, folder)
    if path is not None and _is_file(path):
        return know(name, Own(path, _sha256(path)))
    if noted is None:
        raise UsageError(f"the study names {name}, and there is no {path or f'module {home(name)} with a .py file'}")
    return know(name, Own(path or Path(home(name)), noted))


def know(name: str, own: Own) -> Own:
    """Makes a file known by the name that records have."""
    KNOWN[canonical(name)] = own
    return own


def read(name: str, sha256: str | None = None) -> bytes:
    """What a known file holds. Raises UsageError for another name, and where the file is gone or was changed.

    `sha256` is what a record says of it; None: what it was when the study was loaded.
    """
    own = get(name)
    try:
        content = own.path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {own.path}: {error.strerror}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != (sha256 or own.sha256):
        raise UsageError(
            f"{own.path} is not the file that it was (SHA-256 {found[:8]}…, not {(sha256 or own.sha256)[:8]}…): "
            "run the study again, or bring that file back"
        )
    return content


def get(name: str) -> Own:
    """A known file. Raises UsageError for a name that no study of this process gave."""
    if name not in KNOWN:
        raise UsageError(f"{name!r} is a name in records alone: the study's file does not name it")
    return KNOWN[name]


def agree(name: str, content: str) -> None:
    """Holds a dataset's content to what this process, or the driver, has found before. Raises UsageError."""
    own = get(name)
    if own.content not in (None, content):
        raise UsageError(f"{name} gives other data than it gave when the run began")
    KNOWN[name] = replace(own, content=content)


def _path(name: str, folder: Path) -> Path | None:
    """Where a file lies, or a module's source; None for a module that is not installed."""
    is_module = is_function(name) and not home(name).endswith(".py")
    return _source(home(name)) if is_module else path_of(home(name), folder)


def path_of(name: str, folder: Path) -> Path:
    """Where a file lies that a study in `folder` names. Raises UsageError for a home folder that there is none of."""
    try:
        return (folder / Path(name).expanduser()).absolute()
    except RuntimeError as error:
        raise UsageError(f"{name}: {error}") from None


def _source(module: str) -> Path | None:
    """A module's source, found without importing the packages that it is in."""
    first, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(first)
        for end in range(len(rest)):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join([first, *rest[: end + 1]]), spec.submodule_search_locations)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _is_file(path: Path) -> bool:
    """Whether there is a file. Raises UsageError for what is no file, a folder or a device, and for odd names."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no file")
        return path.is_file()
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(path)[:LONGEST]!r} cannot be looked for: {error}") from None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None

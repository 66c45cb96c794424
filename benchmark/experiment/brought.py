"""What a study brings of the user's own: every file and function that its table names is looked up and hashed.

Nothing is imported. Records know a network by its name and the hash of its source, a checkpoint likewise, and both are
part of their keys; a dataset by its name, and its content is noted in every record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import own_files
from benchmark.data import names as datasets
from benchmark.errors import UsageError
from benchmark.files import write_whole
from benchmark.networks import names as networks

if TYPE_CHECKING:
    from benchmark.experiment.study import Study

NOTE = "brought.json"  # beside records: hashes of what the study brought when it was run last, and entry points' names
PINS = "pinned.json"  # beside a published study: the same, which it then means whatever lies there
GROUPS = (networks.PLUGINS, datasets.PLUGINS)
HASHES = ("network_sha256", "checkpoint_sha256")
Table = dict[str, Any]


def identify(table: Table, path: Path, results: Path | None = None) -> None:
    """Puts the names that records have into the table of the study at `path`, and beside each the hash of its file.

    Files lie in the study's folder. Hashes that are noted beside the study, as in a published site, are its own; those
    noted beside its records in `results` stand for files that are not there any more. Raises UsageError.
    """
    pinned = read_note(path.parent / PINS)
    noted = (read_note(results / path.stem / NOTE) if results else {}) | pinned
    tasks, levels = list(_tables(table.get("tasks"))), list(_levels(table))
    places: dict[str, Path] = {}
    for part in (*tasks, *levels):
        for key in HASHES:
            if key in part:
                raise UsageError(f"{key} follows from the file, so a study does not give it: leave it out")
        for name, place in _identified(part, path.parent, noted, pinned):
            if places.setdefault(name, place) != place:
                raise UsageError(f"the study names {places[name]} and {place}: give one another file name")
    if any(HASHES[0] in task for task in tasks):
        for level in levels:
            if "network" in level:
                level.setdefault(HASHES[0], None)


def _identified(
    part: Table, folder: Path, noted: Mapping[str, str], pinned: Mapping[str, str]
) -> Iterator[tuple[str, Path]]:
    """Each own file of a task, or of what a condition changes of it; the table then has its name and hash."""
    network, checkpoint, dataset = (part.get(key) for key in ("network", "checkpoint", "dataset"))
    named = {}
    if isinstance(network, str) and networks.is_own(network := networks.resolved(network, noted)):
        named["network"] = network
    if isinstance(checkpoint, str):
        named["checkpoint"] = checkpoint
    for key, given in named.items():
        part[key] = name = own_files.canonical(given)
        own_files.check_name(name)
        own = own_files.look_up(given, folder, noted.get(name))
        part[f"{key}_sha256"] = pinned.get(name, own.sha256)
        yield name, own.path
    if isinstance(dataset, str) and datasets.is_own(dataset := datasets.resolved(dataset, noted)):
        part["dataset"] = datasets.canonical(dataset)
        yield datasets.own_name(part["dataset"]), datasets.look_up(dataset, folder).path


def _tables(value: Any) -> Iterator[Table]:
    yield from (item for item in (value if isinstance(value, list) else []) if isinstance(item, dict))


def _levels(table: Table) -> Iterator[Table]:
    """What each level of each condition changes, in a table that nobody has checked."""
    conditions = table.get("conditions")
    factors = conditions.get("factors") if isinstance(conditions, dict) else None
    for levels in factors.values() if isinstance(factors, dict) else ():
        yield from _tables(list(levels.values()) if isinstance(levels, dict) else [])


def read_note(path: Path) -> dict[str, str]:
    """The hashes that are noted in a file, none where there is none. Raises UsageError for a bad one."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    if not isinstance(noted, dict) or not all(isinstance(value, str) for value in noted.values()):
        raise UsageError(f"{path} is no table of names and hashes")
    return noted


def write_note(study: Study, folder: Path) -> None:
    """Notes beside its records the hashes of what a study brings, and what names of installed packages stand for.

    A study that brings nothing has no such file.
    """
    tasks = [slot.task for slot in study.slots()]
    brought = {name: sha256 for task in tasks for name, sha256 in task.brought.items()}
    named = {f"{group}:{name}": home for group in GROUPS for name, home in own_files.plugins(group).items()}
    used = {name for task in tasks for name in (task.network, task.dataset)}
    brought |= {key: home for key, home in (read_note(folder / NOTE) | named).items() if home in used}
    if brought:
        write_whole(folder / NOTE, (json.dumps(brought, indent=1, sort_keys=True) + "\n").encode())

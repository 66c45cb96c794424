"""What a command made in a folder, so that it replaces its own files and no others."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.errors import UsageError
from benchmark.files import write_whole

NAME = "manifest.json"
LIBRARIES = ("deadweight", "matplotlib", "moocore", "numpy", "pandas", "plotly", "scipy", "seaborn")


class Manifest(BaseModel):
    """The files of a site with their SHA-256. `before` has those of the site it replaces, until that is done."""

    model_config = ConfigDict(extra="forbid")

    studies: list[str]
    libraries: dict[str, str]
    files: dict[str, str]
    before: dict[str, str] = {}


def sha256(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(folder: Path, studies: list[str]) -> Manifest:
    """The manifest of all files in a folder."""
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = {path: sha256(folder / path) for path in paths if path != NAME}
    return Manifest(studies=studies, libraries=libraries(), files=files)


def libraries() -> dict[str, str]:
    """The versions of what figures and numbers are made with."""
    return {name: version(name) for name in LIBRARIES}


def read(folder: Path) -> Manifest | None:
    """The manifest in a folder, None where there is none. Raises UsageError where it is not one of ours."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (ValidationError, OSError):
        raise UsageError(f"{path} is no manifest of `deadweight publish`") from None
    for name in [*manifest.files, *manifest.before]:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UsageError(f"{path} names {name!r}, which is outside its folder")
    return manifest


def replace(made: Path, studies: list[str], out: Path) -> int:
    """Moves all files of the folder `made` to `out` and removes what an earlier site had more; returns how many.

    Raises UsageError, with nothing changed, where a file in the way was not made by this command or was changed since.
    """
    new = describe(made, studies)
    old = read(out)
    known: dict[str, set[str]] = {}
    for files in (old.files, old.before) if old else ():
        for name, digest in files.items():
            known.setdefault(name, set()).add(digest)
    stale = [name for name in known if name not in new.files and (out / name).is_file()]
    for name in [*new.files, *stale]:
        _check_own(out, name, known.get(name, set()))
    write_whole(out / NAME, _text(new.model_copy(update={"before": {**(old.before | old.files if old else {})}})))
    for name in new.files:
        _move(made / name, out / name)
    for name in stale:
        _remove(out, name)
    write_whole(out / NAME, _text(new))
    return len(new.files) + 1


def _check_own(out: Path, name: str, digests: set[str]) -> None:
    path = out / name
    for parent in path.relative_to(out).parents:
        if (out / parent).exists() and not (out / parent).is_dir():
            raise UsageError(
                f"{out / parent} is in the way and not of this command's making; move it or choose another --out"
            )
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_file() or sha256(path) not in digests:
        raise UsageError(
            f"{path} is in the way: this command did not make it, or it was changed since; "
            "move it or choose another --out"
        )


def _move(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}; run the same command again") from None


def _remove(out: Path, name: str) -> None:
    (out / name).unlink()
    for parent in PurePosixPath(name).parents:
        if parent != PurePosixPath(".") and not any((out / parent).iterdir()):
            (out / parent).rmdir()


def _text(manifest: Manifest) -> bytes:
    content: dict[str, Any] = manifest.model_dump(exclude_defaults=True)
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()

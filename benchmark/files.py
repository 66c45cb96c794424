"""Files are written whole or not at all."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from benchmark.errors import UsageError


def check_writable(folder: Path) -> None:
    """Raises UsageError where no file can be made in a folder that is there or will be: before, not after, the work."""
    try:
        place = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file by way of a temporary one beside it. Raises UsageError, the old file intact, where that fails."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # there may be no such file, or no such folder
            partial.unlink()
        raise UsageError(f"cannot write {path}: {error.strerror}") from None

"""Files are written whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from benchmark.errors import UsageError


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

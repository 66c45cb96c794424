"""The append-only store: one JSON line per trial."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from benchmark.errors import UsageError, unknown
from benchmark.experiment.hashing import SCHEMA
from benchmark.experiment.record import FINISHED, Record
from benchmark.experiment.soundness import flaws

T = TypeVar("T")


class Store:
    """The records of one study in `folder`/records.jsonl."""

    def __init__(self, folder: Path):
        self.path = folder / "records.jsonl"

    def load(self) -> list[Record]:
        """The latest record of every key, in order of first appearance; a torn last line is not one.

        Raises UsageError for a line that is no record, or whose key is not that of its content.
        """
        return self.collect(lambda record: record)

    def collect(self, keep: Callable[[Record], T]) -> list[T]:
        """What `keep` makes of each record that `load` would give: one is held at a time, so any number fits."""
        kept: dict[str, T] = {}
        finished: set[str] = set()
        for number, line in enumerate(self.lines(), start=1):
            record = self.parse(number, line)
            if record.key not in finished:
                kept[record.key] = keep(record)
            if record.status in FINISHED:
                finished.add(record.key)
        return list(kept.values())

    def lines(self, start: int = 0) -> Iterator[bytes]:
        """The lines from that byte on; a torn last one is not one. Raises UsageError where the file cannot be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                for line in file:
                    if line.endswith(b"\n") or _is_json(line):
                        yield line
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from None

    def at(self, places: Iterable[tuple[int, int]]) -> list[Record]:
        """The records of the lines that begin at these bytes and have so many. Raises UsageError."""
        lines = []
        try:
            with self.path.open("rb") as file:
                for start, length in places:
                    file.seek(start)
                    lines.append(file.read(length))
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from None
        return [self.parse(0, line) for line in lines]

    def parse(self, number: int, line: bytes) -> Record:
        """The record that a line is, counted from 1. Raises UsageError for a line that is none."""
        try:
            record = Record.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UsageError(f"{self.path}, line {number} is not a record: {where} {first['msg']}".strip()) from None
        if record.schema_version == SCHEMA and record.expected_key() != record.key:
            raise UsageError(f"{self.path}, line {number}: its content does not have the key {record.short_key}…")
        for flaw in flaws(record):
            raise UsageError(f"{self.path}, line {number} is not a record: {flaw}")
        return record

    def mend(self) -> None:
        """Makes the file end with a whole line: completes one that only lacks its end, drops one that was cut.

        Raises UsageError where the file cannot be read or written.
        """
        try:
            self._mend()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"cannot mend {self.path}: {error.strerror}") from None

    def _mend(self) -> None:
        content = self.path.read_bytes()
        cut = content.rfind(b"\n") + 1
        torn = content[cut:]
        if not torn:
            return
        with self.path.open("r+b") as file:
            if _is_json(torn):
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
            else:
                file.truncate(cut)
            os.fsync(file.fileno())

    def append(self, record: Record) -> None:
        """Adds one line, on disk when this returns. Raises UsageError, with the file as before, where that fails."""
        line = record.model_dump_json(exclude_defaults=True).encode() + b"\n"
        size = 0
        try:
            with self.path.open("ab") as file:
                size = file.tell()
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):  # what is left of a line is dropped by the next run
                os.truncate(self.path, size)
            reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
            raise UsageError(
                f"cannot write {self.path}: {reason}; all earlier records are safe, run the same command again"
            ) from None

    def add(self, records: list[Record]) -> None:
        """Appends those of the records whose key has none yet."""
        known = set(self.collect(lambda record: record.key)) if records else set()
        for record in records:
            if record.key not in known:
                self.append(record)


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def find(store: Store, key: str) -> Record:
    """The measured record whose key begins with these digits. Raises UsageError where there is none, or several."""
    records = [r for r in store.load() if r.params is not None]
    found = [r for r in records if r.key.startswith(key)]
    if len(found) > 1:
        raise UsageError(f"{len(found)} records have a key that begins with {key!r}: give more digits")
    if not found:
        raise unknown("record", key, [r.key[: max(8, len(key))] for r in records])
    return found[0]

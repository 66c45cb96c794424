"""How far a study is, without reading all of its records: to check a hundred thousand of them takes half a minute."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ValidationError, model_validator

from benchmark.errors import UsageError
from benchmark.experiment.record import FINISHED, Count, Record, Status
from benchmark.experiment.store import Store
from benchmark.experiment.study import Study
from benchmark.experiment.trial import Protocol
from benchmark.files import write_whole

MANY = 5000  # lines checked from which on it is worth a file that they were
CHECKS = (
    "hashing.py",
    "outlines.py",
    "record.py",
    "soundness.py",
    "store.py",
    "trial.py",
)  # the code that a line has to pass


class Outline(NamedTuple):
    """What of a record says how far a study is, and the place of its line in the file, in bytes."""

    key: str
    label: str
    seed: int
    status: str
    error: str | None
    protocol: Protocol
    start: int
    length: int


class _Checked(BaseModel):
    """The lines that a file begins with, in so many bytes; `found` has of each key what `Store.load` would give."""

    code: str
    sha256: str = ""
    size: Count = 0
    lines: Count = 0
    protocols: list[Protocol] = []
    found: dict[str, tuple[str, int, Status, str | None, Count, Count, Count]] = {}

    @model_validator(mode="after")
    def _whole(self) -> _Checked:
        if any(row[4] >= len(self.protocols) for row in self.found.values()):
            raise ValueError("a protocol is missing")
        return self

    def add(self, line: bytes, record: Record) -> None:
        """Takes the next line, and the record that it is."""
        if record.key not in self.found or self.found[record.key][2] not in FINISHED:
            if record.protocol not in self.protocols:
                self.protocols.append(record.protocol)
            place = self.protocols.index(record.protocol), self.size, len(line)
            self.found[record.key] = (record.label, record.seed, record.status, record.error, *place)
        self.size += len(line)
        self.lines += 1

    def outlines(self) -> list[Outline]:
        """In the order of `Store.load`."""
        return [
            Outline(key, label, seed, status, error, self.protocols[protocol], start, length)
            for key, (label, seed, status, error, protocol, start, length) in self.found.items()
        ]


def outlines(study: Study, records: Store) -> Sequence[Outline | Record]:
    """Of each record that `Store.load` gives its outline; the record itself where its samples are searched for.

    Lines are checked as `Store.load` checks them, but for those of which the file `.checked` beside says that they
    were. That is bound to their SHA-256, and to that of the code that checks. Raises UsageError.
    """
    if study.sampler == "optuna":
        return records.load()
    note = records.path.with_name(".checked")
    checked, digest = _checked_before(note, records.path)
    had, whole = checked.lines, True
    for line in records.lines(checked.size):
        checked.add(line, records.parse(checked.lines + 1, line))
        digest.update(line)
        whole = line.endswith(b"\n")
    if checked.lines - had >= MANY and whole:
        checked.sha256 = digest.hexdigest()
        with suppress(UsageError):  # where nothing can be written, all are checked each time
            write_whole(note, checked.model_dump_json().encode())
    return checked.outlines()


def tuned_on(study: Study, records: Store, known: Iterable[Outline | Record]) -> list[Record]:
    """The records with the seed that the study is tuned on; none of a study without tuning. Raises UsageError."""
    seed = study.tuning.seed if study.tuning else None
    places = [(o.start, o.length) for o in known if isinstance(o, Outline) and o.seed == seed]
    return records.at(places) if places else []


def _checked_before(note: Path, path: Path) -> tuple[_Checked, hashlib._Hash]:
    """What the file says was checked, with the digest of these lines; nothing where either is not as it was."""
    code = hashlib.sha256(b"".join(Path(__file__).with_name(name).read_bytes() for name in CHECKS)).hexdigest()
    with suppress(OSError, ValidationError):
        said = note.read_bytes() if note.is_file() else b""  # reading a pipe would wait for ever
        checked = _Checked.model_validate_json(said)
        digest = _digest(path, checked.size)
        if (checked.code, checked.sha256) == (code, digest.hexdigest()):
            return checked, digest
    return _Checked(code=code), hashlib.sha256()


def _digest(path: Path, size: int) -> hashlib._Hash:
    """Of so many bytes from the file's first on."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(size, 2**20))):
            digest.update(chunk)
            size -= len(chunk)
    return digest

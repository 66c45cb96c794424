"""The append-only store: one JSON line per trial."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.errors import UsageError
from benchmark.experiment.trial import SCHEMA, MethodSetting, Protocol, Task, Trial, trial_key
from benchmark.method.registry import get_method

FINISHED = ("ok", "collapsed", "diverged")  # outcomes that running again would repeat
STATUSES = (*FINISHED, "failed", "crashed", "skipped")
T = TypeVar("T")


class Record(BaseModel):
    """One trial's outcome. Where the status is not ok or collapsed, what was not reached is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int
    key: str
    study: str
    label: str
    task: Task
    setting: MethodSetting
    base: MethodSetting | None
    knob: str | None
    protocol: Protocol
    seed: int
    status: str
    error: str | None = None

    val_accuracy: float | None = None  # of the final network: reduced, and fine-tuned where the method does
    test_accuracy: float | None = None
    stage_accuracy: dict[str, float] = {}  # on validation: trained, silenced, reduced, fine_tuned
    channels: int | None = None  # hidden channels before removal
    channels_left: dict[str, int] = {}  # by group
    params: int | None = None
    params_dense: int | None = None
    macs: int | None = None
    macs_dense: int | None = None
    channel_sparsity: float | None = None
    param_sparsity: float | None = None
    mac_sparsity: float | None = None
    weight_sparsity: float | None = None
    removal_error: float | None = None  # largest relative |Δlogit| of reduced against silenced, float64
    kept_whole: dict[str, str] = {}  # groups that cannot be removed from, and why
    threshold_sweep: dict[str, float] = {}  # fraction of channels with ‖w_k‖₂ < ξ after training, by ξ
    norm_histogram: dict[str, int] = {}  # channels by ‖w_k‖₂ after training, see `measure.norm_histogram`
    never_active: float | None = None  # share of channels that no training image activates, after training
    latency: dict[str, float] = {}  # seconds for 64 images, dense and reduced, taken in turns beside other trials
    history: dict[str, list[float]] = {}

    train_seconds: float | None = None  # this trial's own training, fine-tuning included
    base_seconds: float | None = None  # training of the shared base network
    peak_memory: int | None = None  # bytes, of the GPU or the process, earlier trials in it included
    created: str = ""
    provenance: dict[str, Any] = {}

    def expected_key(self) -> str:
        """The key that the record's own fields give."""
        return trial_key(self.schema_version, self.task, self.setting, self.base, self.protocol, self.seed)


def describe(trial: Trial) -> dict[str, Any]:
    """The fields of a record that the trial alone determines."""
    return {
        "schema_version": SCHEMA,
        "key": trial.key,
        "study": trial.study,
        "label": trial.label,
        "task": trial.task,
        "setting": trial.setting,
        "base": trial.base,
        "knob": get_method(trial.setting.method).knob,
        "protocol": trial.protocol,
        "seed": trial.seed,
    }


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
        for number, line in enumerate(self._lines(), start=1):
            record = self._parse(number, line)
            if record.key not in finished:
                kept[record.key] = keep(record)
            if record.status in FINISHED:
                finished.add(record.key)
        return list(kept.values())

    def _lines(self) -> Iterator[bytes]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n") or _is_json(line):
                    yield line.removesuffix(b"\n")

    def _parse(self, number: int, line: bytes) -> Record:
        try:
            record = Record.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UsageError(f"{self.path}, line {number} is not a record: {where} {first['msg']}".strip()) from None
        if record.schema_version == SCHEMA and record.expected_key() != record.key:
            raise UsageError(f"{self.path}, line {number}: its content does not have the key {record.key[:12]}…")
        return record

    def mend(self) -> None:
        """Makes the file end with a whole line: completes one that only lacks its end, drops one that was cut."""
        if not self.path.exists():
            return
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
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if self.path.exists():
                os.truncate(self.path, size)
            reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
            raise UsageError(
                f"cannot write {self.path}: {reason}; all earlier records are safe, run the same command again"
            ) from None


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False

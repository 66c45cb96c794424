"""Whether the fields of a record fit together; that each is in its range, its type says."""

from __future__ import annotations

import math
from collections.abc import Iterator

from benchmark.experiment.record import Record

ROUNDING = 1e-9  # of sparsities
NEEDED = ("val_accuracy", "test_accuracy", "channel_sparsity", "param_sparsity", "mac_sparsity", "weight_sparsity")
SERIES = ("loss", "val_accuracy", "silent")
THREADS = 4096  # at most, of one trial
STAGES = ("checkpoint", "trained", "silenced", "reduced", "fine_tuned")


def flaws(record: Record) -> Iterator[str]:
    """Each flaw in one line that begins with the field."""
    if record.measured:
        yield from (f"{name} is missing, and its status is {record.status}" for name in NEEDED if _lacks(record, name))
    if record.knob is not None and record.knob not in record.setting.hyperparameters:
        yield f"knob {record.knob!r} is none of its hyperparameters"
    yield from _of_counts(record)
    if (record.features_left or 0) > (record.features or 0):
        yield f"features_left is {record.features_left} of {record.features}"
    if record.best_test_accuracy is not None and not record.protocol.watch_test:
        yield "best_test_accuracy is there, and its protocol does not watch the test set"
    yield from _of_series(record)
    yield from _of_provenance(record)
    yield from (f"stage_accuracy.{name} is no stage" for name in record.stage_accuracy if name not in STAGES)
    if record.latency and record.latency.keys() != {"dense", "reduced"}:
        yield "latency has other keys than dense and reduced"


def _lacks(record: Record, name: str) -> bool:
    return getattr(record, name) is None


def _of_counts(record: Record) -> Iterator[str]:
    left = sum(record.channels_left.values()) if record.channels_left else None
    counted = {
        "channel_sparsity": (record.channel_sparsity, left, record.channels),
        "param_sparsity": (record.param_sparsity, record.params, record.params_dense),
        "mac_sparsity": (record.mac_sparsity, record.macs, record.macs_dense),
    }
    for name, (sparsity, few, many) in counted.items():
        if sparsity is None or few is None or many is None:
            continue
        if not many or not math.isclose(sparsity, 1 - few / many, abs_tol=ROUNDING):
            yield f"{name} is {sparsity}, and its counts are {few} of {many}"
    total = sum(record.norm_histogram.values())
    if record.norm_histogram and not 0 < total <= (record.channels or total):  # channels that go together have one norm
        yield f"norm_histogram has {total} channels of {record.channels}"


def _of_series(record: Record) -> Iterator[str]:
    lengths = {name: len(values) for name, values in record.history.items()}
    yield from (f"history.{name} is no series" for name in lengths if name not in SERIES)
    for name in ("val_accuracy", "silent"):
        if not all(0 <= value <= 1 for value in record.history.get(name, [])):
            yield f"history.{name} leaves the range from 0 to 1"
    epochs = record.protocol.epochs
    if len(set(lengths.values())) > 1:
        yield f"history has series of different lengths, {min(lengths.values())} to {max(lengths.values())}"
    for name, length in lengths.items():
        alone = record.base is None and record.task.checkpoint is None  # else it may have had fewer, or none
        if length > epochs or (record.measured and alone and length < epochs):
            yield f"history.{name} has {length} epochs of {epochs}"


def _of_provenance(record: Record) -> Iterator[str]:
    for name, value in record.provenance.items():
        if not all(isinstance(x, str | int | float | None) for x in (value if isinstance(value, list) else [value])):
            yield f"provenance.{name} is neither a text, a number nor a list of them"
    threads = record.provenance.get("threads", 1)
    if type(threads) is not int or not 1 <= threads <= THREADS:
        yield f"provenance.threads is {threads!r}, no number from 1 to {THREADS}"

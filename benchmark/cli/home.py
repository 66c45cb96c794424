"""A record's reduced network: kept by `run --keep`, or trained again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmark.cli.options import console
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from benchmark.experiment.record import Record
    from benchmark.experiment.store import Store

REPRODUCED = ("status", "val_accuracy", "test_accuracy", "channels_left", "params", "macs")
PLACE = (
    "device",
    "cpu",
    "threads",
    "torch",
    "numpy",
    "deadweight",
    "commit",
    "dirty",
    "data",
)  # what results depend on


def bring_home(record: Record, store: Store) -> tuple[nn.Module, str]:
    """The network, and in words where it comes from. Raises UsageError where its trial gives another record here."""
    from benchmark.cli.keeping import kept_of

    kept = kept_of(store, console.print).load(record)
    return (_train_again(record), "trained again") if kept is None else (kept, "as it was kept")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """A context in which torch has so many threads: sums in another order are other sums."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_again(record: Record) -> nn.Module:
    """The reduced network of a record's trial. Raises UsageError where the trial gives another record here."""
    from benchmark.runner.environment import software
    from benchmark.runner.trial import run_and_keep, train_base

    trial = record.trial
    with console.status(f"training {record.label} again, {record.protocol.epochs} epochs"):
        again, module = run_and_keep(trial, train_base(trial) if trial.base else None, provenance=software())
    other = [name for name in REPRODUCED if getattr(again, name) != getattr(record, name)]
    if module is None or other:
        results = ", ".join(f"{name} {getattr(again, name)}, not {getattr(record, name)}" for name in other)
        raise UsageError(f"here the trial gives {results}; {_other_place(record.provenance, again.provenance)}")
    return module


def _other_place(before: dict[str, Any], now: dict[str, Any]) -> str:
    places = [f"{name} {now.get(name)}, not {before.get(name)}" for name in PLACE if now.get(name) != before.get(name)]
    return f"here is {', '.join(places)}" if places else "processor, versions and code are those of the record"

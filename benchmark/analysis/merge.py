"""Records of one study that several people or machines made, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark.analysis.changes import Pair
from benchmark.errors import UsageError
from benchmark.experiment.conditions import PROTOCOL
from benchmark.experiment.record import FINISHED, Record

PLACE = ("device", "cpu", "threads", "torch", "numpy", "python", "deadweight", "commit", "dirty")
Sources = Mapping[str, list[Record]]  # by name the records of each


@dataclass
class Merged:
    """One record of every trial, in the order of the sources, and which trials several of them have."""

    records: dict[str, Record] = field(default_factory=dict)  # by key
    added: dict[str, int] = field(default_factory=dict)  # by source: how many of the records are its own
    double: list[Pair] = field(default_factory=list)  # what is kept, and what another source has of the same trial

    @property
    def differing(self) -> list[Pair]:
        """The double ones that ended otherwise."""
        return [pair for pair in self.double if not pair.identical]


def merge(sources: Sources) -> Merged:
    """The records of all sources: of a trial that several have the first result, or the first failure.

    Raises UsageError where the sources cannot be of one study: by its name, the budget that its trials, or in a
    reproduction those of a label, share, the contents of a dataset, or one trial with two results where nothing can
    have rounded otherwise.
    """
    _check_one("study", sources, lambda record: record.study)
    _check_protocols(sources)
    _check_data(sources)
    merged = Merged()
    for name, records in sources.items():
        merged.added[name] = 0
        for record in records:
            before = merged.records.get(record.key)
            if before is None:
                merged.records[record.key] = record
                merged.added[name] += 1
                continue
            kept, other = (record, before) if _improves(record, before) else (before, record)
            merged.records[record.key] = kept
            merged.double.append(Pair(kept, other))
            _check_double(name, merged.double[-1])
    return merged


def _improves(record: Record, before: Record) -> bool:
    return record.status in FINISHED and before.status not in FINISHED


def _budget(record: Record) -> str:
    """What conditions cannot change of the protocol."""
    return ", ".join(f"{key} {value}" for key, value in record.protocol.model_dump().items() if key not in PROTOCOL)


def _check_protocols(sources: Sources) -> None:
    """All trials share one, or, where those of one source do not, as in a reproduction, those of each label."""
    if all(len({_budget(record) for record in records}) == 1 for records in sources.values()):
        _check_one("protocol", sources, _budget)
        return
    for label in dict.fromkeys(record.label for records in sources.values() for record in records):
        own = {name: [r for r in records if r.label == label] for name, records in sources.items()}
        _check_one(f"protocol of {label}", {name: records for name, records in own.items() if records}, _budget)


def _check_one(what: str, sources: Sources, value: Any) -> None:
    found = {name: sorted({value(record) for record in records}) for name, records in sources.items()}
    first = next(iter(found))
    for name, values in found.items():
        if len(values) > 1 or values != found[first]:
            other = values if len(values) > 1 else found[first]
            raise UsageError(f"{name} is of another {what} than {first}: {values[0]}, and {other[-1]}")


def _check_data(sources: Sources) -> None:
    contents: dict[str, tuple[str, str]] = {}
    for name, records in sources.items():
        for record in records:
            content = record.provenance.get("data")
            if content is None:
                continue
            first, known = contents.setdefault(record.task.dataset, (name, content))
            if known != content:
                raise UsageError(f"{name} was made when {record.task.dataset} held other data than for {first}")


def _check_double(name: str, pair: Pair) -> None:
    """Raises UsageError for two results of one trial on one kind of machine, with one version of everything."""
    one, other = pair.before, pair.after
    finished = one.status in FINISHED and other.status in FINISHED
    alike = all(one.provenance.get(key) == other.provenance.get(key) for key in PLACE)
    known = one.provenance.get("commit") is not None and not one.provenance.get("dirty")
    if finished and alike and known and not pair.identical:
        raise UsageError(
            f"{name} has another result for {one.label}, seed {one.seed}, record {one.short_key}, than one before it, "
            "of the same kind of machine with the same versions: one was changed, or the trial cannot be repeated"
        )

"""The rules of a fair comparison that records are judged by one by one, and what all rules share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from benchmark.errors import some
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study

LIMIT = 1e-6  # of the removal proof
NUMBERS = (
    "val_accuracy",
    "test_accuracy",
    "param_sparsity",
    "mac_sparsity",
    "channel_sparsity",
    "weight_sparsity",
)

LIBRARIES = ("torch", "numpy", "python")
HARDWARE = ("device", "cpu", "threads")

Judgement = tuple[bool | None, str]  # whether the rule is met, None where it does not apply, and the evidence
NO_RESULT: Judgement = (None, "no record with a result")


def results(records: list[Record]) -> list[Record]:
    return [r for r in records if r.measured]


def begun(records: list[Record]) -> dict[str, set[int]]:
    """By task the seeds that have a record: those that none has yet are lacking alike for all methods."""
    seeds: dict[str, set[int]] = defaultdict(set)
    for r in records:
        seeds[r.task.name].add(r.seed)
    return seeds


def point(r: Record) -> str:
    return f"{r.label} on {r.task.name}, seed {r.seed}, record {r.short_key}"


def proof(study: Study, records: list[Record]) -> Judgement:
    records = results(records)
    if not records:
        return NO_RESULT
    errors = [r.removal_error for r in records if r.removal_error is not None]
    wrong = [point(r) for r in records if r.removal_error is None or not r.removal_error <= LIMIT]
    evidence = f"{len(errors)} of {len(records)} results hold it"
    if errors:
        evidence += f"; largest relative difference of a logit {max(errors):.1e}, limit {LIMIT:.0e}"
    return not wrong, evidence + (f"; {some(wrong)}" if wrong else "")


def no_filling(study: Study, records: list[Record]) -> Judgement:
    measured = results(records)
    hollow = [f"{point(r)} lacks {name}" for r in measured for name in NUMBERS if getattr(r, name) is None]
    filled = [
        f"{point(r)} is {r.status} but has a {name}"
        for r in records
        if not r.measured
        for name in NUMBERS
        if getattr(r, name) is not None
    ]
    evidence = (
        f"{study.size - len(measured)} of {study.size} points have no result and none is put in their place; "
        f"{len(measured)} are drawn where they were measured, joined by steps"
    )
    return not hollow + filled, evidence + (f"; {some(hollow + filled)}" if hollow + filled else "")


def one_code(study: Study, records: list[Record], tried: Sequence[Record] = ()) -> Judgement:
    """What was `tried` to tune them is asked, too: other code may have chosen by something else."""
    commits = Counter(r.provenance.get("commit") or "unknown" for r in records)
    dirty = sum(r.provenance.get("dirty") is True for r in records)
    names = ", ".join(f"{commit[:10]} ({count} records)" for commit, count in commits.most_common())
    libraries = {_named(r, LIBRARIES) for r in records}
    versions = "; ".join("torch {}, numpy {}, Python {}".format(*version) for version in sorted(libraries))
    met = len(commits) == len(libraries) == 1 and "unknown" not in commits and not dirty
    evidence = f"{_count(len(commits), 'commit')}: {names}; {dirty} records of a changed checkout; {versions}"
    known = {_named(r, ("commit", *LIBRARIES)) for r in records}
    other = [r for r in tried if r.provenance.get("dirty") or _named(r, ("commit", *LIBRARIES)) not in known]
    return met and not other, evidence + _of_tuning(other, tried, "code")


def _named(record: Record, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(record.provenance.get(name)) for name in names)


def _of_tuning(other: list[Record], tried: Sequence[Record], what: str) -> str:
    return (
        f"; tuned with other {what}: {len(other)} of {len(tried)} records, {some(map(point, other))}" if other else ""
    )


def one_data(study: Study, records: list[Record]) -> Judgement:
    """Records that note no contents are of data that a library brings, or were made before records noted them."""
    found: dict[str, set[str]] = {}
    for r in results(records):
        found.setdefault(r.task.dataset, set()).add(r.provenance.get("data", "not noted"))
    texts = [f"{name}: {' and '.join(sorted(contents))}" for name, contents in found.items()]
    return all(len(contents) == 1 for contents in found.values()), "; ".join(texts) or "no record with a result"


def one_machine(study: Study, records: list[Record], tried: Sequence[Record] = ()) -> Judgement:
    records = results(records)
    if not records:
        return NO_RESULT
    kinds = Counter(_named(r, HARDWARE) for r in records)
    names = [f"{device}, {cpu}, threads: {threads} ({n} results)" for (device, cpu, threads), n in kinds.most_common()]
    met = len(kinds) == 1 and not any("None" in kind for kind in kinds)
    other = [r for r in tried if r.measured and _named(r, HARDWARE) not in kinds]
    evidence = f"{_count(len(kinds), 'kind')} of hardware: {some(names)}"
    return met and not other, evidence + _of_tuning(other, tried, "hardware")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def keys(study: Study, records: list[Record]) -> Judgement:
    wrong = [point(r) for r in records if r.expected_key() != r.key]
    evidence = f"{len(records) - len(wrong)} of {len(records)} keys are the hash of what their record says was run"
    return not wrong, evidence + (f"; {some(wrong)}" if wrong else "")


def reduced(study: Study, records: list[Record]) -> Judgement:
    records = results(records)
    if not records:
        return NO_RESULT
    counted = sum(r.params is not None and r.macs is not None for r in records)
    return counted == len(records), (
        f"parameters and multiply-accumulates counted on the reduced network in {counted} of {len(records)} results"
    )

"""What two sets of records of one study differ in, in lines and a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from rich.table import Table

from benchmark.analysis.agreement import agreement
from benchmark.analysis.changes import DETERMINED, MEASURES, Change, Match, Pair, changes, rekeyed
from benchmark.analysis.intervals import Interval
from benchmark.cli.options import console
from benchmark.errors import some
from benchmark.experiment.record import Record


def show(before: list[Record], after: list[Record], found: Match) -> bool:
    """Prints what differs between A, before, and B, after; returns whether there is a regression."""
    same = [pair for pair in found.pairs if pair.same_key]
    points = changes(found.pairs)
    differing = [point for point in points if point.differs]
    regressions = [f"{c.label} at {c.knob} on {c.task}: {' and '.join(c.regressions)}" for c in points if c.regressions]
    regressions += [_status(pair) for pair in found.pairs if pair.lost_result]
    for line in (*_sides(before, after), *_trials(found), _same_keys(same)):
        console.print(line)
    if differing:
        console.print(_table(differing))
    console.print(_summary(differing, len(points)))
    console.print(_verdict(found, differing, regressions))
    console.print(_agreement(found, before))
    return bool(regressions)


def _commits(records: Iterable[Record]) -> list[str]:
    return sorted({str(r.provenance.get("commit") or "")[:10] for r in records} - {""})


def _machines(records: Iterable[Record]) -> str:
    """What computed them, for another processor or device rounds sums otherwise."""
    used = {(r.provenance.get("cpu"), r.provenance.get("device")) for r in records}
    named = {str(cpu or "an unknown processor") + (f" with {d}" if d not in (None, "cpu") else "") for cpu, d in used}
    return ", ".join(sorted(named))


def _studies(records: Iterable[Record]) -> str:
    return ", ".join(sorted({r.study for r in records}))


def _sides(before: list[Record], after: list[Record]) -> Iterator[str]:
    sides = {"A": before, "B": after}
    for name, records in sides.items():
        code = ", ".join(_commits(records)) or "unknown"
        yield f"{name}: {len(records)} records of {_studies(records)}, code {code}, computed on {_machines(records)}"
    schemas = {name: sorted({r.schema_version for r in records}) for name, records in sides.items()}
    if len({*schemas["A"], *schemas["B"]}) > 1:
        listed = "; ".join(f"{name} has {', '.join(map(str, found))}" for name, found in schemas.items())
        yield (
            f"records of several schema versions ({listed}): keys differ between them, such trials are matched by "
            "task, method, knob point and seed"
        )


def _trials(found: Match) -> Iterator[str]:
    moved = [pair for pair in found.pairs if not pair.same_key]
    changed = [pair for pair in found.pairs if pair.before.status != pair.after.status]
    yield (
        f"{len(found.pairs)} trials in both, {len(moved)} of them under another key; {len(found.lost)} lost, "
        f"{len(found.new)} new, {len(changed)} with another status"
    )
    for reason in dict.fromkeys(map(rekeyed, moved)):
        labels = Counter(pair.before.label for pair in moved if rekeyed(pair) == reason)
        yield f"  another key ({reason}): " + some(f"{label}, {n}" for label, n in labels.items())
    if found.unrun:
        seeds = sorted({r.seed for r in found.unrun})
        yield f"  not in B: {len(found.unrun)} trials of the seeds {some(map(str, seeds))}"
    for name, records in {"lost": found.lost, "new": found.new}.items():
        groups = Counter((r.label, r.task.name) for r in records)
        if groups:
            yield f"  {name}: " + some(f"{label} on {task}, {n}" for (label, task), n in groups.items())
    if changed:
        yield "  status: " + some(_status(pair) for pair in changed)


def _status(pair: Pair) -> str:
    after = pair.after
    why = f" ({after.error})" if after.error else ""
    return f"{after.label} on {after.task.name}, seed {after.seed}: {pair.before.status} → {after.status}{why}"


def _same_keys(pairs: list[Pair]) -> str:
    """Equal keys mean equal trials, which are deterministic on one machine."""
    other = [pair for pair in pairs if not pair.identical]
    if not other:
        return f"{len(pairs)} trials with the same key: all with the same result"
    names = [n for n in DETERMINED if any(getattr(p.before, n) != getattr(p.after, n) for p in other)]
    most = {
        measure: max((abs(p.difference(measure)) for p in other if p.measured), default=0.0) for measure in MEASURES
    }
    return (
        f"{len(pairs)} trials with the same key: {len(other)} with another result, by at most "
        f"{100 * most['test_accuracy']:.2f} points of test accuracy and {100 * most['param_sparsity']:.2f} of "
        f"parameters removed ({', '.join(names)} differ)"
    )


def _table(points: list[Change]) -> Table:
    """The knob points that differ, both measures in a row."""
    table = Table("task", "method", "knob", "n", "test accuracy", "p", "removed", "p", "", box=None)
    for point in points:
        n = point.differences[MEASURES[0]].n
        cells = [point.task, point.label, "–" if point.knob is None else str(point.knob), str(n)]
        for name in MEASURES:
            cells += [_difference(point.differences[name]), _p(point.p_holm[name])]
        table.add_row(*cells, "regression" if point.regressions else "")
    return table


def _summary(differing: list[Change], points: int) -> str:
    tested = sum(point.tested for point in differing)
    return (
        f"{len(differing)} of {points} knob points differ"
        + ("; B − A in points, mean over n seeds ± half of the 95 % t interval" if differing else "")
        + (f"; p after Holm's correction for {len(MEASURES) * tested} tests" if tested else "")
        + (f"; {len(differing) - tested} have one seed and are not tested" if tested < len(differing) else "")
    )


def _difference(difference: Interval) -> str:
    text = f"{100 * difference.mean:+.2f}"
    return text if difference.n < 2 else f"{text} ± {100 * (difference.high - difference.mean):.2f}"


def _p(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _verdict(found: Match, differing: list[Change], regressions: list[str]) -> str:
    study = found.pairs[0].after.study
    again = [r for r in found.lost if r.study == study]
    if regressions:
        return f"verdict: regression: {some(regressions)}; next: {_inspect(found.pairs)}"
    verdict = "verdict: no regression beyond noise"
    if differing and not any(point.tested for point in differing):
        verdict = "verdict: no regression can be told from one seed a point"
    other = [pair for pair in found.pairs if pair.same_key and not pair.identical]
    if other and all(_machines([pair.before]) != _machines([pair.after]) for pair in other):
        return (
            f"{verdict}; the same keys gave other results on another machine, which rounds sums otherwise: "
            "only one machine can show what code changed"
        )
    if other:
        return (
            f"{verdict}, but the same keys gave other results; next: where the code was meant to change them, raise "
            "the method's version (or SCHEMA, for the suite's own), else see what differs between the machines"
        )
    if again:
        return f"{verdict}, {len(again)} trials lost; next: deadweight run {study}"
    return f"{verdict}; next: deadweight plot {study}"


def _agreement(found: Match, before: list[Record]) -> str:
    """How many of the trials in both agree, and which do not."""
    judged = agreement(found.pairs, before)
    apart = [f"{p.after.label} at {p.after.knob_value}, seed {p.after.seed}" for p in judged.apart]
    return (
        f"agreement of {len(found.pairs)} trials: {len(judged.same)} the same in every number, "
        f"{len(judged.within)} within the spread of A's seeds, {len(apart)} apart"
        + (f" ({some(apart)})" if apart else "")
        + (f"; as many new seeds would have {_between(judged.by_chance)} apart by chance" if apart else "")
    )


def _between(expected: tuple[float, float]) -> str:
    low, high = (f"{value:.0f}" for value in expected)
    return low if low == high else f"{low} to {high}"


def _inspect(pairs: list[Pair]) -> str:
    """Where to look for the cause: the code between the two sides where each is of one commit, else the methods."""
    before, after = (_commits(getattr(pair, side) for pair in pairs) for side in ("before", "after"))
    if len(before) == len(after) == 1 and before != after:
        return f"git diff {before[0]} {after[0]} -- benchmark methods baselines"
    methods = dict.fromkeys(pair.after.setting.method for pair in pairs if not pair.identical)
    return f"deadweight check {next(iter(methods))}, and compare with more seeds"

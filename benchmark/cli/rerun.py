"""Trains some of a published site's records again, and says which agree."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.home import PLACE
from benchmark.cli.options import console
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.analysis.reruns import Rerun
    from benchmark.experiment.record import Record

WORDS = {"test_accuracy": "test accuracy", "param_sparsity": "parameters removed"}


def rerun(site: Path, studies: list[str], count: int, seed: int) -> bool:
    """Trains `count` records of the site's studies again, drawn at random from those with a result; whether all agree.

    One whose data, network or weights are not here is no disagreement, and said. Raises UsageError where there are not
    so many, and where none could be trained.
    """
    from benchmark.analysis.reruns import NOTE, judge
    from benchmark.runner.again import lacking, run_again

    records = {name: _own(site, name) for name in studies}
    drawn = draw([record for own in records.values() for record in own], count, seed)
    verdicts = []
    for place, record in enumerate(drawn, start=1):
        if missing := lacking(record.trial):
            console.print(f"– {_point(record)}: not trained again, for it is not all here: {missing}")
            continue
        with console.status(f"training {record.label} {record.short_key} again ({place} of {count})"):
            found = judge(record, run_again(record), records[record.study])
        verdicts.append(found.verdict)
        console.print(_tell(found))
    counts = {verdict: verdicts.count(verdict) for verdict in ("same", "within", "apart")}
    if not verdicts:
        raise UsageError(f"none of the {count} records drawn could be trained again: what they need is not here")
    left = f"; {count - len(verdicts)} not trained, for what they need is not here" if len(verdicts) < count else ""
    console.print(
        f"{len(verdicts)} records trained again, drawn with seed {seed}: {counts['same']} the same in every number, "
        f"{counts['within']} within the tolerance between machines, {counts['apart']} apart{left}"
    )
    console.print(NOTE)
    return not counts["apart"]


def draw(records: list[Record], count: int, seed: int) -> list[Record]:
    """Records with a result, drawn at random without repeats; the same ones in whatever order they come.

    Raises UsageError where there are not so many.
    """
    measured = sorted((record for record in records if record.measured), key=lambda record: record.key)
    if count > len(measured):
        raise UsageError(f"--rerun {count}: the site has {len(measured)} records with a result")
    return random.Random(seed).sample(measured, count)


def _own(site: Path, name: str) -> list[Record]:
    """A study's own records, under its own name and labels."""
    from benchmark.analysis.tuning import resolved
    from benchmark.experiment.coverage import own_records
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import load_study

    every = Store(site / name).load()
    own = own_records(resolved(load_study(str(site / name / f"{name}.toml")), every), every)
    return [record.model_copy(update={"study": name}) for record in own]


def _tell(found: Rerun) -> str:
    before, after = found.pair.before, found.pair.after
    mark = "✗" if found.verdict == "apart" else "✓"
    text = f"{mark} {_point(before)}: "
    if found.verdict == "same":
        return text + "the same in every number"
    if not found.pair.measured:
        return f"{text}{before.status} → {after.status}" + (f" ({after.error})" if after.error else "")
    parts = [
        f"{word} {100 * getattr(before, name):.2f} → {100 * getattr(after, name):.2f} % "
        f"(tolerance {100 * found.tolerance[name]:.2f} points)"
        for name, word in WORDS.items()
    ]
    return f"{text}{found.verdict}: {', '.join(parts)}; {_elsewhere(before, after)}"


def _point(record: Record) -> str:
    point = f" at {record.knob_value}" if record.knob else ""
    return f"{record.study}, {record.label}{point}, seed {record.seed} ({record.short_key})"


def _elsewhere(before: Record, after: Record) -> str:
    known = {
        name: (after.provenance.get(name), old) for name in PLACE if (old := before.provenance.get(name)) is not None
    }
    other = [f"{name} {_short(new)}, not {_short(old)}" for name, (new, old) in known.items() if new != old]
    return f"here is {', '.join(other)}" if other else "though processor, versions and code are those of the record"


def _short(value: object) -> str:
    """As much of a commit's or a content's hash as names it."""
    text = str(value)
    return text[:10] if len(text) >= 40 and " " not in text else text

"""The command that compares two sets of records of one study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.errors import UsageError, unknown

if TYPE_CHECKING:
    from benchmark.experiment.record import Record

FILE = "records.jsonl"


def compare_records(
    a: Annotated[Path, typer.Argument(metavar="A", help="Before: a study's results folder, or a file of records.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="After: the same of another run, version or machine.")],
) -> None:
    """Compare two runs of a study: trials lost and new, results that differ, and regressions beyond the seeds' noise.

    What a study's tuning tried is left out: its choice may have been taken over from the other run.

    Exit code 0: no regression, whatever else differs. 1: a regression, that is a knob point with less test accuracy or
    fewer parameters removed (t test over seeds, Holm's correction, 0.05), or a trial that no longer has a result. 2: A
    or B cannot be compared.

    Example: deadweight compare results/digits mine/digits
    """
    before, after = load_records(a), load_records(b)

    from benchmark.cli.options import console
    from benchmark.experiment.tuning import is_candidate

    tried = [[r for r in records if is_candidate(r.label)] for records in (before, after)]
    before, after = ([r for r in records if not is_candidate(r.label)] for records in (before, after))
    if any(tried):
        console.print(f"left out: what tuning tried, {len(tried[0])} records of A and {len(tried[1])} of B")

    from benchmark.analysis.changes import match
    from benchmark.cli.compare_report import show

    found = match(before, after)
    if not found.pairs:
        raise UsageError(f"{a} and {b} have no trial in common: no key, and no task, method, knob point and seed")
    if show(before, after, found):
        raise typer.Exit(1)


def load_records(path: Path) -> list[Record]:
    """The records in a results folder, or in a file. Raises UsageError where there are none."""
    from benchmark.experiment.store import Store

    file = path / FILE if path.is_dir() else path
    if file.is_dir():
        raise UsageError(f"cannot read {file}: Is a directory")
    if not file.is_file():
        roots = (path.parent, path, Path("results"))
        raise unknown("results", str(path), {str(found.parent) for root in roots for found in root.glob(f"*/{FILE}")})
    store = Store(file.parent)
    store.path = file  # a file of records may have any name
    records = store.load()
    if not records:
        raise UsageError(f"{file} has no records")
    return records

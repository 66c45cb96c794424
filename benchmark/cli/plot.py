"""Draws the figures of studies into their folders of results."""

from __future__ import annotations

from pathlib import Path

from benchmark.cli.options import Results, StudyName, console
from benchmark.errors import UsageError


def plot_study(study: StudyName = "digits", results: Results = Path("results")) -> None:
    """Draw the figures of a study and print its table.

    Example: deadweight plot digits
    """
    from benchmark.analysis.tuning import resolved, scores
    from benchmark.experiment.coverage import own_records
    from benchmark.experiment.published import check_compares
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import load_study

    plan = load_study(study, results)
    check_compares(plan)
    folder = results / plan.name
    every = Store(folder).load()
    tried = scores(plan, every)
    plan = resolved(plan, every)
    records = own_records(plan, every)
    if not records:
        raise UsageError(f"study {plan.name!r} has no records in {folder}; `deadweight run {study}` makes them")
    from benchmark.analysis import tables
    from benchmark.figures.draw import draw

    with console.status("drawing"):
        summary, note, made = draw(plan, records, folder, tried)
    tables.show(summary, console, note)
    missing = plan.size - len(records)
    note = f" ({missing} of {plan.size} trials have no record yet)" if missing else ""
    console.print(f"wrote {len(made)} files under {folder}{note}; start with {made[0]}")

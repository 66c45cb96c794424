"""The command that runs published results again and says whether they are met."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.cli.options import AsJson, DataRoot, Results, console, print_json, use_data_root
from benchmark.errors import UsageError, unknown

if TYPE_CHECKING:
    from benchmark.experiment.record import Record
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import Study
    from benchmark.runner.in_process import Resources

STUDY = "published_mnist"


def reproduce(
    rows: Annotated[list[str] | None, typer.Argument(help="What to reproduce; nothing: list what there is.")] = None,
    study: Annotated[str, typer.Option(help="A study of kind reproduction, by name or a .toml file.")] = STUDY,
    results: Results = Path("results"),
    first: Annotated[int | None, typer.Option(min=1, help="Only so many of the study's seeds.")] = None,
    cpus_per_trial: Annotated[int, typer.Option(min=1, help="CPU cores, and torch threads, of each trial.")] = 1,
    gpus_per_trial: Annotated[float, typer.Option(min=0, help="GPUs of each trial; 0.5 lets two share one.")] = 0.0,
    in_process: Annotated[bool, typer.Option("--in-process", help="Run here, one by one, without Ray.")] = False,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Run a published result again, under its own paper's recipe, and its dense network; say whether it is met.

    Without a name: list what can be reproduced, and how far that is. Stop it at any time and run it again to go on.
    Exit code 0: every trial has a result. 1: one failed. 2: bad input. A result that is not met is a result.

    Example: deadweight reproduce slimming
    """
    from benchmark.experiment.study import load_study

    use_data_root(data_root)
    plan = load_study(study)
    if plan.kind != "reproduction":
        raise UsageError(f'study {plan.name!r} is a comparison; one that reproduces has kind = "reproduction"')
    for row in rows or ():
        if row not in plan.published:
            raise unknown("published result", row, plan.published)
    if first is not None:
        plan = plan.model_copy(update={"seeds": plan.seeds[:first]})

    from benchmark.experiment.store import Store

    store = Store(results / plan.name)
    if not rows:
        _list(study, plan, store, as_json)
        return
    from benchmark.runner.in_process import Resources
    from benchmark.runner.run import check_here

    resources = Resources(cpus_per_trial, gpus_per_trial)
    check_here(resources, in_process)
    labels = {name for row in rows for name in (row, plan.published[row].control or row)}
    _run(plan, labels, store, resources, in_process)
    if _show(study, plan, labels, store, as_json):
        raise typer.Exit(1)


def _run(plan: Study, labels: set[str], store: Store, resources: Resources, in_process: bool) -> None:
    """Runs what these labels lack."""
    from benchmark.cli.progress import run_with_progress
    from benchmark.experiment.coverage import remaining
    from benchmark.runner.run import check_protocol, locked

    with locked(store.path.parent):
        store.load()  # a file that is none of records is refused before its last line is mended
        store.mend()
        records = store.load()
        check_protocol(plan, records, store.path)
        todo = [trial for trial in remaining(plan, records, retry_failed=False) if trial.label in labels]
        if todo:
            run_with_progress(plan, todo, store, resources, in_process)


def _own(plan: Study, store: Store) -> list[Record]:
    from benchmark.experiment.coverage import own_records

    return own_records(plan, store.load())


def _list(study: str, plan: Study, store: Store, as_json: bool) -> None:
    """Shows what can be reproduced, and the verdicts there are; writes the table of all where there are records."""
    from benchmark.analysis.published import OPEN, published_table

    records = _own(plan, store)
    rows = published_table(plan, records)
    if as_json:
        print_json(rows.to_dict("records"))
        return
    had = Counter(record.label for record in records)
    table = Table("row", "method", "error", "left", "source", "trials", "verdict", title=plan.title, box=None)
    for row in rows.to_dict("records"):
        ran = f"{had[row['row']]} of {plan.planned()[row['row']]}"
        shown = [row[key] for key in ("row", "method", "published error", "published left", "source")]
        table.add_row(*shown, ran, row["verdict"])
    console.print(table)
    if records:
        _write(plan, records, store)
    open_ = [row for row, verdict in zip(rows["row"], rows["verdict"], strict=True) if verdict == OPEN]
    where = "" if study == STUDY else f" --study {study}"
    more = f"; next: deadweight reproduce {open_[0]}{where}" if open_ else ""
    table_of_all = f"; all is in {store.path.parent / 'table.md'}" if records else ""
    console.print(f"{len(rows) - len(open_)} of {len(rows)} have been run{table_of_all}{more}")


def _show(study: str, plan: Study, labels: set[str], store: Store, as_json: bool) -> bool:
    """Shows what came of these labels, and writes the table of all; returns whether a trial has failed."""
    from benchmark.analysis.published import NOTE, published_table
    from benchmark.experiment.record import FINISHED

    records = _own(plan, store)
    rows = published_table(plan, records)
    rows = rows[rows["row"].isin(labels)]
    path = _write(plan, records, store)
    failures = [r for r in records if r.label in labels and r.status not in FINISHED]
    if as_json:
        print_json(rows.to_dict("records"))
        return bool(failures)
    for row in rows.to_dict("records"):
        table = Table(show_header=False, title=f"{row['row']}: {row['method']}", box=None, title_justify="left")
        for key, value in list(row.items())[2:]:
            table.add_row(key, str(value))
        console.print(table)
    console.print(NOTE, style="dim")
    for record in failures:
        console.print(f"  {record.status}: {record.label}, seed {record.seed}: {record.error}")
    if failures:
        console.print(f"`deadweight run {study} --retry-failed` runs what has failed again")
    verdicts = ", ".join(f"{row} {verdict}" for row, verdict in zip(rows["row"], rows["verdict"], strict=True))
    console.print(f"{verdicts}; all that has been run is in {path}")
    return bool(failures)


def _write(plan: Study, records: list[Record], store: Store) -> Path:
    """Writes the table of all rows beside the records; returns its path."""
    from benchmark.analysis import tables
    from benchmark.analysis.published import NOTE, published_table

    return tables.write(published_table(plan, records), store.path.parent, NOTE)[0]

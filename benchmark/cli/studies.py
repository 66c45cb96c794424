"""The commands that run a study and say how far it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.cli.options import DataRoot, Results, StudyName, console, use_data_root

if TYPE_CHECKING:
    from benchmark.experiment.record import Record
    from benchmark.experiment.study import Slot, Study
    from benchmark.experiment.trial import Trial


def run(
    study: StudyName = "digits",
    results: Results = Path("results"),
    cpus_per_trial: Annotated[int, typer.Option(min=1, help="CPU cores, and torch threads, of each trial.")] = 1,
    gpus_per_trial: Annotated[float, typer.Option(min=0, help="GPUs of each trial; 0.5 lets two share one.")] = 0.0,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster, HOST:PORT or auto.")] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Run here, one by one, without Ray.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also run failed trials again.")] = False,
    data_root: DataRoot = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
) -> None:
    """Run every trial of a study that has no record yet. Stop it at any time and run it again to go on.

    Example: deadweight run digits
    """
    from benchmark.experiment.study import load_study

    use_data_root(data_root)
    plan = load_study(study)

    from benchmark.cli.progress import run_with_progress
    from benchmark.experiment.coverage import own_records
    from benchmark.experiment.store import Store
    from benchmark.runner.in_process import Resources
    from benchmark.runner.run import locked, open_points

    store = Store(results / plan.name)
    if dry_run:
        _show_plan(study, plan, open_points(plan, store, retry_failed))
        return
    with locked(results / plan.name):
        store.mend()
        todo = open_points(plan, store, retry_failed)
        if todo:
            run_with_progress(plan, todo, store, Resources(cpus_per_trial, gpus_per_trial, address), in_process)
        _summarise(study, plan.size, own_records(plan, store.load()), ran=len(todo), path=store.path)


def _show_plan(study: str, plan: Study, todo: list[Trial | Slot]) -> None:
    from benchmark.experiment.coverage import remaining

    planned = Counter((t.task.name, t.label) for t in remaining(plan, [], retry_failed=False))
    left = Counter((t.task.name, t.label) for t in todo)
    table = Table("task", "method", "trials", "to run", title=plan.title, box=None)
    for (task, label), count in planned.items():
        table.add_row(task, label, str(count), str(left[task, label]))
    console.print(table)
    console.print(
        f"{len(todo)} of {plan.size} trials to run, {plan.protocol.epochs} epochs each; "
        f"`deadweight run {study}` starts them"
    )


def _summarise(study: str, trials: int, records: list[Record], ran: int, path: Path) -> None:
    from benchmark.experiment.record import FINISHED

    counts = Counter(r.status for r in records)
    outcome = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    console.print(f"{study}: ran {ran} trials; {len(records)} of {trials} have a record ({outcome}) in {path}")
    broken = [r for r in records if r.status not in FINISHED]
    for record in broken[:5]:
        console.print(f"  {record.status}: {record.label}, seed {record.seed}: {record.error}")
    if broken:
        console.print(f"`deadweight run {study} --retry-failed` runs these {len(broken)} again")
    console.print(f"next: deadweight plot {study}")


def status(study: StudyName = "digits", results: Results = Path("results")) -> None:
    """Show how far a study is, by method.

    Example: deadweight status digits
    """
    from benchmark.experiment.coverage import own_records, remaining
    from benchmark.experiment.record import FINISHED
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import load_study

    plan = load_study(study)
    store = Store(results / plan.name)
    every = store.load()
    records = own_records(plan, every)
    by_label = Counter((r.label, r.status) for r in records)
    statuses = sorted({r.status for r in records}, key=lambda s: (s not in FINISHED, s))
    table = Table("method", *statuses, "left", title=plan.title, box=None)
    for label, total in Counter(t.label for t in remaining(plan, [], retry_failed=False)).items():
        counts = [by_label[label, s] for s in statuses]
        table.add_row(label, *(str(c) if c else "·" for c in counts), str(total - sum(counts)))
    console.print(table)
    left = plan.size - len(records)
    stale = len(every) - len(records)
    console.print(
        f"{len(records)} of {plan.size} trials have a record in {store.path}"
        + (f"; {stale} records there are of trials the study no longer has" if stale else "")
    )
    console.print(f"next: deadweight {'run' if left else 'plot'} {study}")

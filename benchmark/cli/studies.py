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
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import Study
    from benchmark.runner.in_process import Resources


def run(
    study: StudyName = "digits",
    results: Results = Path("results"),
    cpus_per_trial: Annotated[int, typer.Option(min=1, help="CPU cores, and torch threads, of each trial.")] = 1,
    gpus_per_trial: Annotated[float, typer.Option(min=0, help="GPUs of each trial; 0.5 lets two share one.")] = 0.0,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster, HOST:PORT or auto.")] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Run here, one by one, without Ray.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also run failed trials again.")] = False,
    data_root: DataRoot = None,
    first: Annotated[int | None, typer.Option(min=1, help="Only so many of the study's seeds.")] = None,
    tuning: Annotated[
        Path | None, typer.Option(help="Another results folder of the study, whose tuning is taken over.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
) -> None:
    """Run every trial of a study that has no record yet. Stop it at any time and run it again to go on.

    Example: deadweight run digits
    """
    from benchmark.experiment.study import load_study

    use_data_root(data_root)
    plan = load_study(study)
    if first is not None:
        plan = plan.model_copy(update={"seeds": plan.seeds[:first]})

    from benchmark.analysis.tuning import stages
    from benchmark.cli.tuning import take_tuning
    from benchmark.experiment.store import Store
    from benchmark.runner.in_process import Resources
    from benchmark.runner.run import locked

    store = Store(results / plan.name)
    stages(plan, [])  # refuses what cannot be run before anything is written
    taken = take_tuning(plan, tuning) if tuning else []
    if dry_run:
        _show_plan(study, plan, store, taken, retry_failed)
        return
    with locked(results / plan.name):
        store.mend()
        if taken:
            store.add(taken)
        _run_stages(study, plan, store, Resources(cpus_per_trial, gpus_per_trial, address), in_process, retry_failed)
    console.print(f"next: deadweight plot {study}")


def _run_stages(
    study: str, plan: Study, store: Store, resources: Resources, in_process: bool, retry_failed: bool
) -> None:
    """Runs what a study lacks. Raises UsageError where nothing could be chosen."""
    from benchmark.analysis.tuning import resolved
    from benchmark.cli.tuning import each_stage, show_choice
    from benchmark.experiment.tuning import EVALUATION

    for name, stage in each_stage(plan, store):
        if name == EVALUATION:
            show_choice(plan, store.load())
        ran = _run_stage(stage, store, resources, in_process, retry_failed)
        _summarise(study if name == EVALUATION else f"{study}, {name}", study, stage, store, ran)
    resolved(plan, store.load())


def _run_stage(stage: Study, store: Store, resources: Resources, in_process: bool, retry_failed: bool) -> int:
    """Runs what a stage lacks; returns how many trials that were."""
    from benchmark.cli.progress import run_with_progress
    from benchmark.runner.run import open_points

    todo = open_points(stage, store.load(), store.path, retry_failed)
    if todo:
        run_with_progress(stage, todo, store, resources, in_process)
    return len(todo)


def _show_plan(study: str, plan: Study, store: Store, taken: list[Record], retry_failed: bool) -> None:
    from benchmark.analysis.tuning import stages
    from benchmark.cli.tuning import later_stages
    from benchmark.experiment.coverage import remaining
    from benchmark.runner.run import open_points

    records = store.load()
    records += [record for record in taken if record.key not in {r.key for r in records}]
    known = stages(plan, records)
    for name, stage in known.items():
        todo = open_points(stage, records, store.path, retry_failed)
        planned = Counter((t.task.name, t.label) for t in remaining(stage, [], retry_failed=False))
        left = Counter((t.task.name, t.label) for t in todo)
        table = Table("task", "method", "trials", "to run", title=_title(plan, name), box=None)
        for (task, label), count in planned.items():
            table.add_row(task, label, str(count), str(left[task, label]))
        console.print(table)
        console.print(
            f"{len(todo)} of {stage.size} trials to run, {plan.protocol.epochs} epochs each; "
            f"`deadweight run {study}` starts them"
        )
    for line in later_stages(plan, known):
        console.print(line)


def _title(plan: Study, stage: str) -> str:
    return f"{plan.title}: {stage}" if plan.tuning else plan.title


def _summarise(name: str, study: str, stage: Study, store: Store, ran: int) -> None:
    from benchmark.experiment.coverage import own_records
    from benchmark.experiment.record import FINISHED

    records = own_records(stage, store.load())
    counts = Counter(r.status for r in records)
    outcome = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    console.print(f"{name}: ran {ran} trials; {len(records)} of {stage.size} have a record ({outcome}) in {store.path}")
    broken = [r for r in records if r.status not in FINISHED]
    for record in broken[:5]:
        console.print(f"  {record.status}: {record.label}, seed {record.seed}: {record.error}")
    if broken:
        console.print(f"`deadweight run {study} --retry-failed` runs these {len(broken)} again")


def status(study: StudyName = "digits", results: Results = Path("results")) -> None:
    """Show how far a study is, by method.

    Example: deadweight status digits
    """
    from benchmark.analysis.tuning import stages
    from benchmark.cli.tuning import later_stages
    from benchmark.experiment.coverage import own_records
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import load_study

    plan = load_study(study)
    store = Store(results / plan.name)
    every = store.load()
    known = stages(plan, every)
    own = {name: own_records(stage, every) for name, stage in known.items()}
    stale = len(every) - len({record.key for records in own.values() for record in records})
    note = f"; {stale} records there are of trials the study no longer has" if stale else ""
    for name, stage in known.items():
        _show_status(stage, own[name], _title(plan, name))
        console.print(f"{len(own[name])} of {stage.size} trials have a record in {store.path}{note}")
    later = list(later_stages(plan, known))
    for line in later:
        console.print(line)
    left = bool(later) or any(len(own[name]) < stage.size for name, stage in known.items())
    console.print(f"next: deadweight {'run' if left else 'plot'} {study}")


def _show_status(stage: Study, records: list[Record], title: str) -> None:
    from benchmark.experiment.coverage import remaining
    from benchmark.experiment.record import FINISHED

    by_label = Counter((r.label, r.status) for r in records)
    statuses = sorted({r.status for r in records}, key=lambda s: (s not in FINISHED, s))
    table = Table("method", *statuses, "left", title=title, box=None)
    for label, total in Counter(t.label for t in remaining(stage, [], retry_failed=False)).items():
        counts = [by_label[label, s] for s in statuses]
        table.add_row(label, *(str(c) if c else "·" for c in counts), str(total - sum(counts)))
    console.print(table)

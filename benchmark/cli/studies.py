"""The commands that run a study and say how far it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.cli.options import AsJson, DataRoot, Results, StudyName, console, print_json, quieted, use_data_root

if TYPE_CHECKING:
    from benchmark.experiment.outlines import Outline
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
    fetch: Annotated[bool, typer.Option("--fetch", help="Download datasets that a machine lacks.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Minutes that a cluster has to bring a machine.")] = 0.5,
    trial_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="End a trial after so many; by default long after what the first ones take."),
    ] = None,
    first: Annotated[int | None, typer.Option(min=1, help="Only so many of the study's seeds.")] = None,
    tuning: Annotated[
        Path | None, typer.Option(help="Another results folder of the study, whose tuning is taken over.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the reduced networks of the fronts, which export then takes.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors; see the exit code.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
) -> None:
    """Run every trial of a study that has no record yet. Stop it at any time and run it again to go on.

    Exit code 0: every trial has a result, or diverged. 1: a trial failed, crashed, hung or was skipped. 2: bad input.

    Example: deadweight run digits
    """
    from benchmark.experiment.study import load_study

    use_data_root(data_root)
    plan = load_study(study, results)
    if first is not None:
        plan = plan.model_copy(update={"seeds": plan.seeds[:first]})

    from benchmark.analysis.tuning import stages
    from benchmark.cli.plan import show_plan
    from benchmark.cli.tuning import take_tuning
    from benchmark.experiment.store import Store
    from benchmark.runner.in_process import Resources
    from benchmark.runner.run import check_here

    store = Store(results / plan.name)
    stages(plan, [])  # refuses what cannot be run before anything is written
    taken = take_tuning(plan, tuning) if tuning else []
    limits = {"trial_minutes": trial_minutes, "wait": wait}
    resources = Resources(cpus_per_trial, gpus_per_trial, address, fetch=fetch, keep=keep, **limits)
    check_here(resources, in_process)
    if dry_run:
        show_plan(study, plan, store, taken, retry_failed, resources, in_process)
        return
    with quieted(quiet):
        _run_locked(study, plan, store, taken, resources, in_process, retry_failed)


def _run_locked(
    study: str,
    plan: Study,
    store: Store,
    taken: list[Record],
    resources: Resources,
    in_process: bool,
    retry_failed: bool,
) -> None:
    """Runs what a study lacks while nobody else writes to its folder. Ends with 1 where a trial has no result."""
    from benchmark.experiment.outlines import outlines
    from benchmark.experiment.record import FINISHED
    from benchmark.runner.run import locked

    with locked(store.path.parent):
        outlines(plan, store)  # a file that is none of records is refused before its last line is mended
        store.mend()
        store.add(taken)
        finished = {r.status in FINISHED for r in _run_stages(study, plan, store, resources, in_process, retry_failed)}
        if True in finished:
            console.print(f"next: deadweight {'plot' if plan.kind == 'comparison' else 'reproduce --study'} {study}")
    if False in finished:
        raise typer.Exit(1)


def _run_stages(
    study: str, plan: Study, store: Store, resources: Resources, in_process: bool, retry_failed: bool
) -> list[Outline | Record]:
    """Runs what a study lacks; returns its trials' outlines. Raises UsageError where nothing could be chosen."""
    from benchmark.analysis.tuning import resolved, stages
    from benchmark.cli.keeping import show_kept
    from benchmark.cli.progress import run_with_progress
    from benchmark.cli.tuning import show_choice
    from benchmark.experiment.brought import write_note
    from benchmark.experiment.coverage import own_records, remaining
    from benchmark.experiment.outlines import outlines, tuned_on
    from benchmark.experiment.tuning import EVALUATION
    from benchmark.runner.run import check_protocol

    write_note(plan, store.path.parent)
    every, own, seen = outlines(plan, store), [], 0
    tuned = tuned_on(plan, store, every)
    while len(known := stages(plan, tuned)) > seen:  # each is known once the trials of the one before have been run
        name, stage = list(known.items())[seen]
        seen += 1
        if name == EVALUATION:
            show_choice(plan, tuned)
        keep = resources.keep and name == EVALUATION  # a candidate is no result
        check_protocol(stage, every, store.path)
        records = own_records(stage, every)
        complete = len(records) == stage.size and not retry_failed
        todo = [] if complete else remaining(stage, every, retry_failed)
        if todo:
            every = records = []  # they may be many, and a sweep takes hours
            run_with_progress(stage, todo, store, replace(resources, keep=keep), in_process)
            every = outlines(plan, store)
            tuned, records = tuned_on(plan, store, every), own_records(stage, every)
        _summarise(study if name == EVALUATION else f"{study}, {name}", study, stage, store.path, records, len(todo))
        own += records
        if keep:
            show_kept(stage, store)
    resolved(plan, tuned)
    return own


def _summarise(name: str, study: str, stage: Study, path: Path, records: list[Outline | Record], ran: int) -> None:
    """Prints what a stage's trials came to."""
    from benchmark.experiment.record import FINISHED

    counts = Counter(r.status for r in records)
    outcome = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    console.print(f"{name}: ran {ran} trials; {len(records)} of {stage.size} have a record ({outcome}) in {path}")
    broken = [r for r in records if r.status not in FINISHED]
    for record in broken[:5]:
        console.print(f"  {record.status}: {record.label}, seed {record.seed}: {record.error}")
    if broken:
        console.print(f"`deadweight run {study} --retry-failed` runs these {len(broken)} again")


def status(study: StudyName = "digits", results: Results = Path("results"), as_json: AsJson = False) -> None:
    """Show how far a study is, by method.

    Example: deadweight status digits
    """
    from benchmark.analysis.tuning import stages
    from benchmark.cli.tuning import later_stages, stage_title
    from benchmark.experiment.coverage import own_records
    from benchmark.experiment.outlines import outlines, tuned_on
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import load_study

    plan = load_study(study, results)
    store = Store(results / plan.name)
    every = outlines(plan, store)
    known = stages(plan, tuned_on(plan, store, every))
    own = {name: own_records(stage, every) for name, stage in known.items()}
    if as_json:
        print_json({name: _counts(stage, own[name]) for name, stage in known.items()})
        return
    stale = len(every) - len({record.key for records in own.values() for record in records})
    note = f"; {stale} records there are of trials the study no longer has" if stale else ""
    for name, stage in known.items():
        _show_status(_counts(stage, own[name]), stage_title(plan, name))
        console.print(f"{len(own[name])} of {stage.size} trials have a record in {store.path}{note}")
    later = list(later_stages(plan, known))
    for line in later:
        console.print(line)
    left = bool(later) or any(len(own[name]) < stage.size for name, stage in known.items())
    shown = "plot" if plan.kind == "comparison" else "reproduce --study"
    console.print(f"next: deadweight {'run' if left else shown} {study}")


def _counts(stage: Study, records: list[Outline | Record]) -> dict[str, dict[str, int]]:
    """By label how many trials have a record of each status, and how many are left."""
    counts = {label: Counter[str]() for label in stage.tables}
    for record in records:
        counts[record.label][record.status] += 1
    planned = stage.planned()
    return {label: {**found, "left": planned[label] - found.total()} for label, found in counts.items()}


def _show_status(counts: dict[str, dict[str, int]], title: str) -> None:
    from benchmark.experiment.record import FINISHED

    statuses = {status for found in counts.values() for status in found} - {"left"}
    columns = sorted(statuses, key=lambda s: (s not in FINISHED, s))
    table = Table("method", *columns, "left", title=title, box=None)
    for label, found in counts.items():
        table.add_row(label, *(str(found.get(s, "·")) for s in columns), str(found["left"]))
    console.print(table)

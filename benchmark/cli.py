"""The command line."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import filelock
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from benchmark.errors import UsageError, unknown
from benchmark.records import FINISHED, Record, Store
from benchmark.registry import get_method, registry
from benchmark.study import Study, Trial, load_study, study_names

app = typer.Typer(
    help="Which method finds the most dead weight in a neural network, at which accuracy?\n\n"
    "Example: deadweight run digits && deadweight plot digits",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
WIDTH = None if sys.stdout.isatty() else 150
console = Console(width=WIDTH)

StudyName = Annotated[str, typer.Argument(help="A study's name (see `deadweight list studies`) or a .toml file.")]
Results = Annotated[Path, typer.Option(help="The folder that holds a folder of results per study.")]


def main() -> None:
    """The command `deadweight`: bad input is one line and exit code 2, an interrupt exit code 130."""
    try:
        app()
    except UsageError as error:
        Console(stderr=True, soft_wrap=True).print(f"deadweight: {error}", markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="methods or studies.")] = "methods") -> None:
    """Show the methods or the studies there are.

    Example: deadweight list methods
    """
    if what == "methods":
        _list_methods()
    elif what == "studies":
        _list_studies()
    else:
        raise unknown("list", what, ("methods", "studies"))


def _list_methods() -> None:
    found = registry()
    table = Table("method", "title", "knob", "reference", box=None)
    for name, method in sorted(found.methods.items()):
        table.add_row(name, method.title, method.knob or "–", method.reference)
    console.print(table)
    for name, reason in sorted(found.broken.items()):
        console.print(f"broken: {name}: {reason}", markup=False, style="red")
    console.print(f"{len(found.methods)} methods, {len(found.broken)} broken; `deadweight run STUDY` compares them")


def _list_studies() -> None:
    table = Table("study", "title", "trials", box=None)
    for name in study_names():
        study = load_study(name)
        table.add_row(name, study.title, str(len(study.trials())))
    console.print(table)
    console.print("`deadweight run STUDY --dry-run` shows the trials of one")


@app.command()
def run(
    study: StudyName = "digits",
    results: Results = Path("results"),
    cpus_per_trial: Annotated[int, typer.Option(min=1, help="CPU cores, and torch threads, of each trial.")] = 1,
    gpus_per_trial: Annotated[float, typer.Option(min=0, help="GPUs of each trial; 0.5 lets two share one.")] = 0.0,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster, HOST:PORT or auto.")] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Run here, one by one, without Ray.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also run failed trials again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
) -> None:
    """Run every trial of a study that has no record yet. Stop it at any time and run it again to go on.

    Example: deadweight run digits
    """
    plan = load_study(study)
    trials = plan.trials()
    folder = results / plan.name
    store = Store(folder)
    if dry_run:
        _show_plan(plan, trials, _todo(plan, store, trials, retry_failed))
        return
    with _locked(folder):
        store.mend()
        todo = _todo(plan, store, trials, retry_failed)
        if todo:
            from benchmark.execute import Resources

            _sweep(todo, store, folder, Resources(cpus_per_trial, gpus_per_trial, address), in_process, plan.name)
        records = _planned(store.load(), trials)
        _summarise(plan, trials, records, ran=len(todo), path=store.path)


def _todo(plan: Study, store: Store, trials: list[Trial], retry_failed: bool) -> list[Trial]:
    from benchmark.execute import pending

    records = store.load()
    other = next((r for r in records if r.protocol != plan.protocol), None)
    if other is not None:
        mine, theirs = plan.protocol.model_dump(), other.protocol.model_dump()
        changed = ", ".join(f"{k} {theirs[k]} there, {mine[k]} here" for k in mine if mine[k] != theirs[k])
        raise UsageError(
            f"{store.path} was made under another protocol ({changed}); choose another --results or study name"
        )
    return pending(trials, records, retry_failed)


def _show_plan(plan: Study, trials: list[Trial], todo: list[Trial]) -> None:
    counts = Counter((t.task.name, t.label) for t in trials)
    open_ = Counter((t.task.name, t.label) for t in todo)
    table = Table("task", "method", "trials", "to run", title=plan.title, box=None)
    for (task, label), count in counts.items():
        table.add_row(task, label, str(count), str(open_[task, label]))
    console.print(table)
    console.print(
        f"{len(todo)} of {len(trials)} trials to run, {plan.protocol.epochs} epochs each; "
        f"`deadweight run {plan.name}` starts them"
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the study's folder for this process, or says who cannot have it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise UsageError(f"another run is writing to {folder}; wait for it, or choose another --results") from None
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"results folder {folder} is not writable: {error.strerror}") from None


def _sweep(todo: list[Trial], store: Store, folder: Path, resources: object, in_process: bool, name: str) -> None:
    from benchmark.execute import BaseStore, run_in_process

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    terminal = Console(width=WIDTH, file=sys.stdout)  # this stream itself, whatever Ray's output is diverted to
    with Progress(*columns, console=terminal, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task("starting", total=len(todo), failed=0)
        failures = 0

        def keep(record: Record) -> None:
            nonlocal failures
            store.append(record)
            failures += record.status not in FINISHED
            progress.update(bar, advance=1, description=f"{name}: {record.label}", failed=failures)

        bases = BaseStore(folder / "bases")
        try:
            if in_process:
                run_in_process(todo, bases, resources, keep)
            else:
                from benchmark.sweep import run_with_ray

                run_with_ray(todo, bases, resources, keep, folder / "logs")
        except KeyboardInterrupt:
            progress.stop()
            done = int(progress.tasks[0].completed)
            console.print(
                f"stopped; {done} trials done and kept, {len(todo) - done} left: run the same command to go on"
            )
            raise


def _planned(records: list[Record], trials: list[Trial]) -> list[Record]:
    """The records of the study's own trials, under the study's own labels."""
    labels = {trial.key: trial.label for trial in trials}
    return [r.model_copy(update={"label": labels[r.key]}) for r in records if r.key in labels]


def _summarise(plan: Study, trials: list[Trial], records: list[Record], ran: int, path: Path) -> None:
    counts = Counter(r.status for r in records)
    outcome = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    console.print(f"{plan.name}: ran {ran} trials; {len(records)} of {len(trials)} have a record ({outcome}) in {path}")
    broken = [r for r in records if r.status not in FINISHED]
    for record in broken[:5]:
        console.print(f"  {record.status}: {record.label}, seed {record.seed}: {record.error}", markup=False)
    if broken:
        console.print(f"`deadweight run {plan.name} --retry-failed` runs these {len(broken)} again")
    console.print(f"next: deadweight plot {plan.name}")


def _titles(records: list[Record]) -> dict[str, str]:
    """What to call each label: the method's title, with the label where a study has the method under another name."""
    titles = {}
    for record in records:
        title = get_method(record.setting.method).title
        titles[record.label] = title if record.label == record.setting.method else f"{title} ({record.label})"
    return titles


@app.command()
def status(study: StudyName = "digits", results: Results = Path("results")) -> None:
    """Show how far a study is, by method.

    Example: deadweight status digits
    """
    plan = load_study(study)
    trials = plan.trials()
    store = Store(results / plan.name)
    every = store.load()
    records = _planned(every, trials)
    by_label = Counter((r.label, r.status) for r in records)
    statuses = sorted({r.status for r in records}, key=lambda s: (s not in FINISHED, s))
    table = Table("method", *statuses, "left", title=plan.title, box=None)
    for label, total in Counter(t.label for t in trials).items():
        counts = [by_label[label, s] for s in statuses]
        table.add_row(label, *(str(c) if c else "·" for c in counts), str(total - sum(counts)))
    console.print(table)
    left = len(trials) - len(records)
    stale = len(every) - len(records)
    console.print(
        f"{len(records)} of {len(trials)} trials have a record in {store.path}"
        + (f"; {stale} records there are of trials the study no longer has" if stale else "")
    )
    console.print(f"next: deadweight {'run' if left else 'plot'} {plan.name}")


@app.command()
def plot(study: StudyName = "digits", results: Results = Path("results")) -> None:
    """Draw the Pareto figures of a study and print its table.

    Example: deadweight plot digits
    """
    from benchmark import figures, tables

    plan = load_study(study)
    folder = results / plan.name
    records = _planned(Store(folder).load(), plan.trials())
    if not records:
        raise UsageError(f"study {plan.name!r} has no records in {folder}; `deadweight run {plan.name}` makes them")
    frame = tables.frame(records, _titles(records))
    with console.status("drawing"):
        made = figures.draw_all(frame, plan.title, folder / "figures")
        summary = tables.summarise(frame)
        made += tables.write(summary, folder)
    tables.show(summary, console)
    missing = len(plan.trials()) - len(records)
    note = f" ({missing} of {len(plan.trials())} trials have no record yet)" if missing else ""
    console.print(f"wrote {len(made)} files under {folder}{note}; start with {made[0]}")

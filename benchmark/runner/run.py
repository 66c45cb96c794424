"""Runs what a study still lacks, in front of somebody who watches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmark.errors import UsageError
from benchmark.experiment.record import FINISHED, Record, Store
from benchmark.experiment.study import Slot, Study
from benchmark.experiment.trial import Trial
from benchmark.runner.in_process import BaseStore, Resources, run_in_process
from benchmark.runner.trial import check_task, examples

WIDTH = None if sys.stdout.isatty() else 150


def open_points(study: Study, store: Store, retry_failed: bool) -> list[Trial | Slot]:
    """What the study still lacks. Raises UsageError where its records were made under another protocol."""
    records = store.load()
    other = next((r for r in records if r.protocol not in study.protocols), None)
    if other is not None:
        mine, theirs = study.protocol.model_dump(), other.protocol.model_dump()
        changed = ", ".join(f"{k} {theirs[k]} there, {mine[k]} here" for k in mine if mine[k] != theirs[k])
        raise UsageError(
            f"{store.path} was made under another protocol ({changed}); choose another --results or study name"
        )
    return study.remaining(records, retry_failed)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a study's folder for this process. Raises UsageError where another has it or it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise UsageError(f"another run is writing to {folder}; wait for it, or choose another --results") from None
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"results folder {folder} is not writable: {error.strerror}") from None


def run_with_progress(
    study: Study, todo: list[Trial | Slot], store: Store, resources: Resources, in_process: bool
) -> None:
    """Runs what is to do under a progress bar, with Ray or in this process, and stores every record as it comes."""
    if in_process and study.sampler == "optuna":
        raise UsageError("the sampler 'optuna' runs through Ray Tune; leave out --in-process")
    terminal = Console(width=WIDTH, file=sys.stdout)  # this stream itself, whatever Ray's output is diverted to
    with terminal.status("checking networks and data"):
        for point in {point.task.name: point for point in todo}.values():
            trial = point if isinstance(point, Trial) else study.trial(point, study.setting(point.label, {}))
            check_task(trial)
            _check_data(trial, store)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=terminal, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task("starting", total=len(todo), failed=0)
        failures = 0

        def keep(record: Record) -> None:
            nonlocal failures
            store.append(record)
            failures += record.status not in FINISHED
            progress.update(bar, advance=1, description=f"{study.name}: {record.label}", failed=failures)

        try:
            _run(study, todo, store, resources, in_process, keep)
        except KeyboardInterrupt:
            progress.stop()
            done = int(progress.tasks[0].completed)
            terminal.print(
                f"stopped; {done} trials done and kept, {len(todo) - done} left: run the same command to go on"
            )
            raise


def _check_data(trial: Trial, store: Store) -> None:
    """Raises UsageError where the store holds records of a dataset of the same name with other images or labels."""
    content, name = examples(trial).content, trial.task.dataset
    known = {r.provenance.get("data") for r in store.load() if r.task.dataset == name} - {None, content}
    if known:
        raise UsageError(
            f"{store.path} was made when {name} held other images or labels; choose another --results or study name"
        )


def _run(
    study: Study,
    todo: list[Trial | Slot],
    store: Store,
    resources: Resources,
    in_process: bool,
    keep: Callable[[Record], None],
) -> None:
    folder = store.path.parent
    bases, logs = BaseStore(folder / "bases"), folder / "logs"
    if in_process:
        run_in_process(todo, bases, resources, keep)
        return
    from benchmark.runner import on_ray  # Ray is imported only where it is used: that takes seconds

    if study.sampler == "optuna":
        on_ray.search_with_ray(study, todo, store.load(), bases, resources, keep, logs)
    else:
        on_ray.run_with_ray(todo, bases, resources, keep, logs)

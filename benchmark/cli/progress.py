"""Runs what a study still lacks, in front of somebody who watches."""

from __future__ import annotations

import contextlib
import datetime
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmark.cli.keeping import Keeping
from benchmark.cli.options import WIDTH, console
from benchmark.errors import UsageError
from benchmark.experiment.record import FINISHED, Record
from benchmark.experiment.store import Store
from benchmark.experiment.study import Slot, Study
from benchmark.experiment.trial import Trial
from benchmark.runner.identity import fetch
from benchmark.runner.in_process import Destination, Resources
from benchmark.runner.run import check_trial, run_points
from benchmark.runner.trial import checkpoint_accuracy

LOGGED = 30  # seconds between two lines of progress where nobody watches a bar


def run_with_progress(
    study: Study, todo: list[Trial | Slot], store: Store, resources: Resources, in_process: bool
) -> None:
    """Runs what is to do under a progress bar, with Ray or in this process, and stores every record as it comes.

    What is said, and how far it is, also goes to the study's logs/progress.log; with --quiet there alone.
    """
    if in_process and study.sampler == "optuna":
        raise UsageError("the sampler 'optuna' runs through Ray Tune; leave out --in-process")
    if in_process and resources.trial_minutes is not None:
        raise UsageError("--trial-minutes ends a worker process, and there is none; leave out --in-process")
    stream = sys.stdout  # itself, whatever Ray's output is diverted to
    terminal = Console(width=WIDTH, file=stream, quiet=console.quiet, markup=False, highlight=False)
    log = Log(store.path.parent / "logs" / "progress.log")
    with terminal.status("checking networks and data"):
        _check_tasks(study, todo, store, resources.fetch, terminal)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    start = "starting" if in_process else "starting Ray"
    with Progress(*columns, console=terminal, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task(start, total=len(todo), failed=0)
        failures = 0

        def keep(record: Record) -> None:
            nonlocal failures
            store.append(record)
            failures += record.status not in FINISHED
            progress.update(bar, advance=1, failed=failures)

        def say(line: str) -> None:
            terminal.print(line)
            log.add(line)

        def tell(doing: str) -> None:
            progress.update(bar, description=f"{study.name}: {doing}")

        try:
            with _in_lines(progress, log):
                keeping = Keeping(study, store, say) if resources.keep else None
                destination = Destination(store, keep, say, tell, keeping and keeping.take)
                run_points(study, todo, resources, destination, in_process)
        except KeyboardInterrupt:
            progress.stop()
            done = int(progress.tasks[0].completed)
            say(f"stopped; {done} trials done and kept, {len(todo) - done} left: run the same command to go on")
            raise


def _check_tasks(study: Study, todo: list[Trial | Slot], store: Store, missing: bool, terminal: Console) -> None:
    """Tries one trial's network and data for each task; downloads missing data where that is wanted."""
    for point in {point.task.name: point for point in todo}.values():
        trial = point if isinstance(point, Trial) else study.trial(point, study.setting(point.label, {}))
        if missing:
            fetch(trial)
        check_trial(trial, store)
        if trial.task.checkpoint is not None:
            found = checkpoint_accuracy(trial)
            terminal.print(f"{trial.task.name}: the checkpoint's validation accuracy is {found:.4f}")


class Log:
    """A file of lines, each with its time, that grows from run to run; a full disk costs its lines and no more."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, line: str) -> None:
        """Adds a line, whole."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.datetime.now().astimezone().isoformat(timespec='seconds')} {line}\n")


@contextlib.contextmanager
def _in_lines(progress: Progress, log: Log) -> Iterator[None]:
    """How far it is, in the log at the start, every LOGGED seconds and at the end.

    Where the output is no terminal, which would show a bar, also there.
    """
    ended = threading.Event()

    def line() -> str:
        task = progress.tasks[0]
        return f"{task.description}: {task.completed} of {task.total} trials done, {task.fields['failed']} failed"

    def tell() -> None:
        log.add(line())
        if not progress.console.is_terminal:
            progress.console.print(line())

    def keep_telling() -> None:
        while not ended.wait(LOGGED):
            tell()

    tell()
    teller = threading.Thread(target=keep_telling, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
        log.add(line())

"""Runs what a study still lacks, in front of somebody who watches."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmark.cli.keeping import Keeping
from benchmark.cli.options import WIDTH
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
    """Runs what is to do under a progress bar, with Ray or in this process, and stores every record as it comes."""
    if in_process and study.sampler == "optuna":
        raise UsageError("the sampler 'optuna' runs through Ray Tune; leave out --in-process")
    if in_process and resources.trial_minutes is not None:
        raise UsageError("--trial-minutes ends a worker process, and there is none; leave out --in-process")
    terminal = Console(width=WIDTH, file=sys.stdout)  # this stream itself, whatever Ray's output is diverted to
    with terminal.status("checking networks and data"):
        for point in {point.task.name: point for point in todo}.values():
            trial = point if isinstance(point, Trial) else study.trial(point, study.setting(point.label, {}))
            if resources.fetch:
                fetch(trial)
            check_trial(trial, store)
            if trial.task.checkpoint is not None:
                found = checkpoint_accuracy(trial)
                terminal.print(
                    f"{trial.task.name}: the checkpoint's validation accuracy is {found:.4f}", highlight=False
                )
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

        def tell(doing: str) -> None:
            progress.update(bar, description=f"{study.name}: {doing}")

        try:
            say = partial(terminal.print, markup=False, highlight=False)
            with _in_lines(progress):
                keeping = Keeping(study, store, say) if resources.keep else None
                destination = Destination(store, keep, say, tell, keeping and keeping.take)
                run_points(study, todo, resources, destination, in_process)
        except KeyboardInterrupt:
            progress.stop()
            done = int(progress.tasks[0].completed)
            terminal.print(
                f"stopped; {done} trials done and kept, {len(todo) - done} left: run the same command to go on"
            )
            raise


@contextlib.contextmanager
def _in_lines(progress: Progress) -> Iterator[None]:
    """Where the output is no terminal, which would show a bar: a line at the start and one every LOGGED seconds."""
    ended = threading.Event()

    def tell() -> None:
        while True:
            task = progress.tasks[0]
            progress.console.print(
                f"{task.description}: {task.completed} of {task.total} trials done, {task.fields['failed']} failed"
            )
            if ended.wait(LOGGED):
                return

    teller = threading.Thread(target=tell, daemon=True)
    if not progress.console.is_terminal:
        teller.start()
    try:
        yield
    finally:
        ended.set()
        if teller.is_alive():
            teller.join()

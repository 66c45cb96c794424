"""Runs what a study still lacks: in this process, or on Ray."""

from __future__ import annotations

import contextlib
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean

import filelock
import torch

from benchmark.errors import UsageError, first_line
from benchmark.experiment.brought import NOTE
from benchmark.experiment.outlines import Outline
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.study import Slot, Study
from benchmark.experiment.trial import Trial
from benchmark.runner.in_process import Destination, Resources, run_in_process
from benchmark.runner.trial import check_task, examples


def check_protocol(study: Study, records: Iterable[Outline | Record], path: Path) -> None:
    """Raises UsageError where the records of the file at `path` were made under another protocol than the study's."""
    own = study.protocols
    other = next((r for r in records if r.protocol not in own), None)
    if other is not None:
        mine, theirs = study.protocol.model_dump(), other.protocol.model_dump()
        changed = ", ".join(f"{k} {theirs[k]} there, {mine[k]} here" for k in mine if mine[k] != theirs[k])
        raise UsageError(f"{path} was made under another protocol ({changed}); choose another --results or study name")


def check_here(resources: Resources, in_process: bool) -> None:
    """Raises UsageError for what cannot be asked of this machine; what a cluster has, only the cluster knows."""
    if not math.isfinite(resources.gpus_per_trial):
        raise UsageError(f"--gpus-per-trial {resources.gpus_per_trial} is no number of GPUs")
    if in_process and resources.address is not None:
        raise UsageError("--address is that of a Ray cluster, and --in-process runs here: leave out one of them")
    cores = os.cpu_count() or 1
    if resources.address is None and resources.cpus_per_trial > cores:
        asked = f"a trial asks for {resources.cpus_per_trial} CPU cores, and this machine has {cores}"
        raise UsageError(f"{asked}; lower --cpus-per-trial or --gpus-per-trial")
    if in_process and resources.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no GPU here; leave out --gpus-per-trial")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a study's folder for this process; one that it made and left without records or logs goes at the end.

    Raises UsageError where another has it, it cannot be written to, or its disk has no locks.
    """
    lock = filelock.FileLock(folder / ".lock", timeout=0, fallback_to_soft=False)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise UsageError(f"another run is writing to {folder}; wait for it, or choose another --results") from None
    except (PermissionError, FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"results folder {folder} is not writable: {error.strerror}") from None
    except (OSError, NotImplementedError) as error:
        raise UsageError(f"results folder {folder} cannot be locked: {first_line(error)}; choose another") from None
    try:
        yield
    finally:
        if made and {path.name for path in folder.iterdir()} <= {".lock", NOTE}:
            _remove(made)
        lock.release()


def _remove(made: list[Path]) -> None:
    """Removes a study's folder in which nothing came to be, and those above that were made for it and are empty."""
    for name in (".lock", NOTE):
        (made[0] / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another run has come to use it
        for place in made:
            place.rmdir()


def check_trial(trial: Trial, store: Store) -> None:
    """Raises UsageError where the trial's network does not fit its data, or has no channel that could be removed.

    And where the store holds records of a dataset of the same name with other images or labels.
    """
    check_task(trial)
    content, name = examples(trial).content, trial.task.dataset
    known = {r.provenance.get("data") for r in store.load() if r.task.dataset == name} - {None, content}
    if known:
        raise UsageError(
            f"{store.path} was made when {name} held other images or labels; choose another --results or study name"
        )


def run_points(
    study: Study, todo: list[Trial | Slot], resources: Resources, destination: Destination, in_process: bool
) -> None:
    """Runs what is to do, on Ray or in this process. Raises UsageError where there is not what a trial asks for."""
    if in_process:
        run_in_process(todo, resources, destination)
        return
    from benchmark.runner import on_ray  # Ray is imported only where it is used: that takes seconds

    if study.sampler == "optuna":
        on_ray.search_with_ray(study, todo, resources, destination)
    else:
        on_ray.run_with_ray(todo, resources, destination)


def core_hours(todo: list[Trial | Slot], records: list[Record]) -> float | None:
    """What the training of the points to do may cost, by the mean of their labels' records on their tasks.

    A point without such records counts as the mean of its task's. None where a task has none, and of records on GPUs.
    """
    seconds: dict[tuple[str, str | None], list[float]] = defaultdict(list)
    for record in records:
        if record.train_seconds is not None and record.provenance.get("device") == "cpu":
            cost = record.train_seconds * record.provenance.get("threads", 1)
            for label in (record.label, None):
                seconds[record.task.name, label].append(cost)
    found = [seconds.get((p.task.name, p.label)) or seconds.get((p.task.name, None)) for p in todo]
    known = [fmean(costs) for costs in found if costs]
    return sum(known) / 3600 if known and len(known) == len(todo) else None

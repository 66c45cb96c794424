"""Runs a record's trial again, as far as this machine is like the one that made it."""

from __future__ import annotations

import torch

from benchmark.data.names import BUNDLED
from benchmark.errors import UsageError
from benchmark.experiment.record import Record
from benchmark.experiment.trial import Trial
from benchmark.own_files import read
from benchmark.runner.environment import software
from benchmark.runner.trial import examples, run, train_base


def lacking(trial: Trial) -> str | None:
    """What of a trial's data, network and weights is not here, or not as it was; None where it can be trained."""
    try:
        if trial.task.dataset not in BUNDLED:
            examples(trial)
        for name, sha256 in trial.task.brought.items():
            read(name, sha256)
    except UsageError as error:
        return str(error)
    return None


def run_again(record: Record) -> Record:
    """The record that its trial gives here, on a GPU where it was on one and one is here, with as many threads.

    Raises UsageError where its data is missing.
    """
    trial, threads = record.trial, torch.get_num_threads()
    on_gpu = record.provenance.get("device", "cpu") != "cpu" and torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    torch.set_num_threads(record.provenance.get("threads", 1))
    try:
        return run(trial, train_base(trial, device) if trial.base else None, device, software())
    finally:
        torch.set_num_threads(threads)

"""Runs a record's trial again, as far as this machine is like the one that made it."""

from __future__ import annotations

import torch

from benchmark.experiment.record import Record
from benchmark.runner.environment import software
from benchmark.runner.trial import run, train_base


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

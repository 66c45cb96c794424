"""Which of a study's networks to take home."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import fmean

from benchmark.analysis.tuning import resolved
from benchmark.cli.options import console
from benchmark.errors import UsageError
from benchmark.experiment.coverage import own_records
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.study import Study


def choose(study: Study, store: Store, accuracy: float) -> Record:
    """The record of the network with the fewest parameters that has at least this accuracy on validation; says which.

    Its setting has it in the mean over seeds too, so that no lucky one is taken. Raises UsageError where there is none,
    and for a study of several tasks.
    """
    every = store.load()
    if len(study.tasks) > 1:
        raise UsageError(f"study {study.name!r} has {len(study.tasks)} tasks: give the key of a record")
    plan = resolved(study, every)
    records = [r for r in own_records(plan, every) if r.measured]
    if not records:
        raise UsageError(f"study {study.name!r} has no results in {store.path}; `deadweight run` makes them")
    seeds = defaultdict(list)
    for record in records:
        seeds[_setting(record)].append(record.val_accuracy or 0.0)
    reached = {r.key: min(r.val_accuracy or 0.0, fmean(seeds[_setting(r)])) for r in records}
    enough = [r for r in records if reached[r.key] >= accuracy]
    if not enough:
        raise UsageError(f"no network validates at {accuracy:g} over seeds; the best at {max(reached.values()):.4f}")
    chosen = min(enough, key=lambda r: (r.params or 0, -reached[r.key], r.key))
    knob = "" if chosen.knob is None else f"{chosen.knob} {chosen.knob_value}, "
    console.print(
        f"chosen of {len(records)} by validation: {plan.legend(chosen.label)}, {knob}seed {chosen.seed}, record "
        f"{chosen.short_key}: {chosen.val_accuracy:.4f} there, {chosen.param_sparsity:.1%} of parameters removed"
    )
    return chosen


def _setting(record: Record) -> tuple[str, str]:
    return record.label, json.dumps(record.setting.hyperparameters, sort_keys=True)

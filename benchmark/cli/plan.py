"""What a run would do: its trials, on how many cores, and how long that may take by the records there are."""

from __future__ import annotations

import os
from collections import Counter

from rich.table import Table

from benchmark.analysis.tuning import stages
from benchmark.cli.options import console
from benchmark.cli.tuning import later_stages, stage_title
from benchmark.data.names import check_there
from benchmark.experiment.coverage import remaining
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.study import Study
from benchmark.networks.names import TIMM, timm
from benchmark.runner.in_process import Resources
from benchmark.runner.run import check_protocol, core_hours


def show_plan(
    study: str,
    plan: Study,
    store: Store,
    taken: list[Record],
    retry_failed: bool,
    resources: Resources,
    in_process: bool,
) -> None:
    """Prints the trials of each stage that is known, those left to run, and what they may cost."""
    records = store.load()
    records += [record for record in taken if record.key not in {r.key for r in records}]
    known = stages(plan, records)
    for name, stage in known.items():
        check_protocol(stage, records, store.path)
        todo = remaining(stage, records, retry_failed)
        for dataset in dict.fromkeys(point.task.dataset for point in todo):
            check_there(dataset)
        if any(point.task.network.startswith(TIMM) for point in todo):
            timm()  # refuses where that is not installed
        planned = Counter((t.task.name, t.label) for t in remaining(stage, [], retry_failed=False))
        left = Counter((t.task.name, t.label) for t in todo)
        table = Table("task", "method", "trials", "to run", title=stage_title(plan, name), box=None)
        for (task, label), count in planned.items():
            table.add_row(task, label, str(count), str(left[task, label]))
        console.print(table)
        hours = core_hours(todo, records) if todo else None
        cost = "" if hours is None else f", about {hours:.2g} core-hours of training by the records there are"
        console.print(
            f"{len(todo)} of {stage.size} trials to run, {plan.protocol.epochs} epochs each{cost}; "
            f"`deadweight run {study}` starts them"
        )
        if todo:
            console.print(_pace(len(todo), hours, resources, in_process))
    for line in later_stages(plan, known):
        console.print(line)


def _pace(count: int, hours: float | None, resources: Resources, in_process: bool) -> str:
    """On how many cores so many trials run, and how many hours that takes where `hours` of one core are known."""
    each, here = resources.cpus_per_trial, os.cpu_count() or 1
    of_one = f"{each} core{'s' if each > 1 else ''} each"
    if resources.address is not None and not in_process:
        return f"on a cluster, {of_one}: as many at a time as it has room for, so its hours are not known"
    at_once = 1 if in_process else max(1, min(count, here // each))
    if resources.gpus_per_trial and not in_process:
        return f"on {resources.gpus_per_trial:g} GPUs and {of_one}: the hours are not known"
    took = "no records to tell the hours by" if hours is None else f"about {hours / (at_once * each):.2g} hours"
    return f"on this machine's {here} cores, {at_once} at a time with {of_one}: {took}"

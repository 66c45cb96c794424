"""The sections of a page that show what the methods reach: the Pareto figure and the table."""

from __future__ import annotations

import pandas as pd

from benchmark.analysis import tables
from benchmark.analysis.frame import SCRATCH, SPARSITY, controls
from benchmark.analysis.summary import MARK, handicapped, note
from benchmark.experiment.coverage import unfinished
from benchmark.figures import pareto as figures
from benchmark.site import pareto_chart
from benchmark.site.looks import method_looks
from benchmark.site.parts import Image, Section, Source, Table, csv

COUNTS = ("seeds", "trials", "failed", "collapsed")


def pareto(source: Source) -> Section:
    """The interactive Pareto figure and, for print, the static one."""
    frame, summary, surfaces = source.frame, source.summary, pareto_chart.all_corners(source.frame)
    content = pareto_chart.pareto(frame, surfaces, {task.name: task.words for task in source.digest.study.tasks})
    lacking = unfinished(source.digest.study, source.digest.records)
    files = {"data/fronts.csv": csv(surfaces), "data/trials.csv": csv(frame)}
    images = []
    for task, group in frame.groupby("task", sort=False):
        drawing = figures.draw_pareto(group, SPARSITY, source.digest.study.headings[task], lacking=lacking)
        images.append(Image(f"figures/pareto-{task}.svg", alt(task, summary[summary.task == task])))
        files[images[-1].path] = drawing.picture("svg")
    text = (
        f"Points are single trials, n = {frame.seed.nunique()} seeds. A line is what at least half of the seeds "
        "attain, its band runs from what all attain to what one attains; the points of each seed's front are chosen on "
        "the validation set and drawn at their test accuracy, nothing is interpolated. "
        + ("Grey: the dense control, its mean and its interval as in the table. " if len(controls(frame)) else "")
        + ("Dashed: from scratch, the line to beat. " if SCRATCH in set(frame.label) else "")
        + f"Sparsity is counted on the physically reduced network.{lacking}"
    )
    marks = _marks(source)
    looks = method_looks(frame.assign(title=frame.title + [marks.get(label, "") for label in frame.label]))
    content |= {"methods": looks, "alt": alt(source.digest.study.title, summary)}
    return Section(
        "pareto",
        "Sparsity against accuracy",
        (text,),
        images=tuple(images),
        files=files,
        template="pareto.html",
        content=content,
    )


def _marks(source: Source) -> dict[str, str]:
    """By handicapped label what its title ends with on a page, which shows one task after the other."""
    weak: dict[str, list[str]] = {}
    for task, label in handicapped(source.frame):
        weak.setdefault(label, []).append(task)
    run = source.frame.groupby("label").task.nunique()
    words = {task.name: task.words for task in source.digest.study.tasks}
    return {
        label: MARK if len(tasks) == run[label] else f" (handicapped with {', '.join(map(words.__getitem__, tasks))})"
        for label, tasks in weak.items()
    }


def alt(name: str, summary: pd.DataFrame) -> str:
    """What a Pareto figure shows, in words."""
    best = [(row.hypervolume.mean, row.method) for row in summary.itertuples() if row.hypervolume.n]
    first = f" The largest hypervolume above the floor is {max(best)[0]:.3f}, of {max(best)[1]}." if best else ""
    methods = ", ".join(dict.fromkeys(summary.method))
    return f"{name}: parameters removed against test accuracy of {methods}; {summary.trials.sum()} trials.{first}"


def results(source: Source) -> Section:
    """The table with intervals."""
    summary = source.summary
    shown = tables.texts(summary)
    text = note(source.frame) + unfinished(source.digest.study, source.digest.records)
    if shown.task.nunique() == 1:
        shown = shown.drop(columns="task")
    shown = shown[[*(name for name in shown if name not in COUNTS), *COUNTS]]  # on a phone what was found is first
    table = Table(shown, "Each method on each task", "table", head="method")
    files = {"data/table.csv": csv(tables.flatten(summary))}
    return Section("results", "What each method reaches", (text,), tables=(table,), files=files)

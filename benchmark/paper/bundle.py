"""What a paper needs of a study: figures at a journal's width, tables, references, and where every mark comes from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis import conditions as conditions_table
from benchmark.analysis import tables
from benchmark.analysis.frame import SPARSITY, controls
from benchmark.analysis.summary import note, summarise
from benchmark.experiment.coverage import unfinished
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.figures import conditions as conditions_figures
from benchmark.figures import pareto, thresholds
from benchmark.figures.drawing import Drawing
from benchmark.figures.style import PRINT
from benchmark.paper import latex, references


def paper_files(study: Study, records: list[Record], frame: pd.DataFrame) -> dict[str, bytes]:
    """Everything for a paper about the study's own records, `frame` of them, by file name.

    Figures as PDF, SVG, PNG and CSV, the environments that include them in figures.tex, tables as LaTeX and Markdown,
    references.bib, and figures.json. The same records give the same bytes.
    """
    lacking = unfinished(study, records)
    if study.conditions:
        drawn = _conditions_figures(study, records)
        texts = _conditions_tables(study, records)
    else:
        drawn = [*_pareto_figures(frame, lacking), *_threshold_figures(study, records)]
        texts = _tables(study, frame, lacking)
    texts["figures.tex"] = "\n".join(_environment(study, drawing, source["task"]) for drawing, source in drawn)
    told = {drawing.name: {**source, "caption": drawing.caption} for drawing, source in drawn}
    texts["figures.json"] = _to_json(told)
    texts["references.bib"] = references.bibliography(record.setting.method for record in records)
    pictures = {name: content for drawing, _ in drawn for name, content in drawing.files().items()}
    return pictures | {name: text.encode() for name, text in texts.items()}


def _environment(study: Study, drawing: Drawing, task: str) -> str:
    wide = drawing.figure.get_figwidth() > PRINT.one
    caption = f"{study.title}, {task}. {drawing.caption}"
    return latex.to_figure(f"{drawing.name}.pdf", caption, f"fig:{study.name}-{drawing.name}", wide)


def _pareto_figures(frame: pd.DataFrame, lacking: str) -> list[tuple[Drawing, dict[str, Any]]]:
    """The Pareto figure of every task, and the records that its marks and its dense band come from."""
    drawn = []
    for task, group in frame.groupby("task", sort=False):
        drawing = pareto.draw_pareto(group, SPARSITY, "", PRINT, lacking)
        band, dense = pareto.dense_band(group), controls(group)
        source = {
            "task": task,
            "x": f"{SPARSITY} in %",
            "y": "test_accuracy in %",
            "dense": {"mean": band.mean, "low": band.low, "high": band.high, "n": band.n, "keys": list(dense.key)},
            "marks": [
                {"label": m.label, "mark": m.mark, "x": m.x, "y": m.y, "keys": m.key.split()}
                for m in drawing.points.itertuples()
            ],
        }
        drawn.append((drawing, source))
    return drawn


def _threshold_figures(study: Study, records: list[Record]) -> list[tuple[Drawing, dict[str, Any]]]:
    """The figure of ξ of every task, and the records that each of its curves comes from."""
    drawn = []
    for drawing in thresholds.draw_thresholds(study, records, PRINT):
        curves = drawing.points.groupby(["label", "hyperparameters"], sort=False)
        source = {
            "task": drawing.points.task.iloc[0],
            "x": "threshold",
            "y": "hidden channels below it in %",
            "marks": [_curve_mark(label, curve) for (label, _), curve in curves],
        }
        drawn.append((drawing, source))
    return drawn


def _curve_mark(label: str, curve: pd.DataFrame) -> dict[str, Any]:
    keys = curve.key.iloc[0].split()
    ends = {"y": list(curve["mean"]), "low": list(curve.low), "high": list(curve.high)}
    return {"label": label, "mark": "mean over seeds", "keys": keys, "x": list(curve.threshold), **ends}


def _conditions_figures(study: Study, records: list[Record]) -> list[tuple[Drawing, dict[str, Any]]]:
    """The figures of a conditions study, and the records that their cells, rows of bins and curves come from."""
    keys = {conditions_table.short_keys([record]): record.key for record in records}
    drawn = []
    for drawing in conditions_figures.draw(study, records, PRINT):
        marks = _conditions_marks(drawing.points)
        known = [{**mark, "keys": [keys[key] for key in mark["keys"].split()]} for mark in marks]
        drawn.append((drawing, {"task": study.tasks[0].name, "marks": known}))
    return drawn


def _conditions_marks(points: pd.DataFrame) -> list[dict[str, Any]]:
    """The cells of a heat map, or per row of bins and per curve what names it and lists of its values."""
    if "factor" not in points:
        return points.to_dict("records")
    names = [column for column in ("factor", "level", "seed", "n", "keys") if column in points]
    values = points.columns.difference(names)
    return [
        {name: group[name].tolist()[0] for name in names} | {value: group[value].tolist() for value in values}
        for _, group in points.groupby(names, sort=False)
    ]


def _to_json(sources: dict[str, Any]) -> str:
    """Canonical JSON, a number that is not known as null."""

    def known(value: object) -> object:
        if isinstance(value, dict):
            return {key: known(part) for key, part in value.items()}
        if isinstance(value, list):
            return [known(part) for part in value]
        return None if isinstance(value, float) and np.isnan(value) else value

    return json.dumps(known(sources), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"


def _tables(study: Study, frame: pd.DataFrame, lacking: str) -> dict[str, str]:
    """The summary of every task, as LaTeX and as Markdown, by file name."""
    made = {}
    for task, summary in summarise(frame).groupby("task", sort=False):
        own = note(frame[frame.task == task])
        caption = f"{study.title}, {task}, n = {summary.seeds.iloc[0]} seeds. {own}{lacking}"
        shown = summary.drop(columns="task")
        made[f"table-{task}.tex"] = latex.to_latex(
            tables.texts(shown).drop(columns=["seeds", "trials"]), caption, f"tab:{study.name}-{task}"
        )
        made[f"table-{task}.md"] = f"{tables.to_markdown(shown)}\n{caption}\n"
    return made


def _conditions_tables(study: Study, records: list[Record]) -> dict[str, str]:
    """A table per factor, all in one file as LaTeX and in one as Markdown."""
    environments, texts = [], []
    for place, (factor, rows) in enumerate(conditions_table.by_factor(study, records).items(), start=1):
        caption = f"{study.title}: {factor}. {conditions_table.NOTE}{unfinished(study, records)}"
        environments.append(latex.to_latex(tables.texts(rows), caption, f"tab:{study.name}-{place}"))
        texts.append(f"{tables.to_markdown(rows)}\n{caption}\n")
    return {"tables.tex": "\n".join(environments), "tables.md": "\n".join(texts)}

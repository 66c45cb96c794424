"""What a paper needs of a study: figures at a journal's width, tables, references, and where every mark comes from."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from benchmark.analysis import conditions as conditions_table
from benchmark.analysis import tables
from benchmark.analysis.frame import SPARSITY, controls
from benchmark.analysis.summary import NOTE, summarise
from benchmark.experiment.coverage import unfinished
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.figures import conditions as conditions_figures
from benchmark.figures import pareto, thresholds
from benchmark.figures.style import PRINT, PRINT_STYLE, write_figure
from benchmark.files import write_whole
from benchmark.paper import latex, references


def write_paper(study: Study, records: list[Record], frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Writes everything for a paper about the study's own records, `frame` of them; returns the paths.

    Figures as PDF, SVG, PNG and CSV, the environments that include them in figures.tex, tables as LaTeX and Markdown,
    references.bib, and figures.json. The same records give the same bytes. Raises UsageError.
    """
    lacking = unfinished(study, records)
    made, sources, environments = [], {}, []
    with mpl.rc_context(PRINT_STYLE):
        if study.conditions:
            drawn = _conditions_figures(study, records)
        else:
            drawn = [*_pareto_figures(frame, lacking), *_threshold_figures(study, records)]
        for name, figure, points, source in drawn:
            made += write_figure(figure, points, folder / name, crop=False)
            sources[name] = source
            wide = figure.get_figwidth() > PRINT.one
            caption = f"{study.title}, {source['task']}. {source['caption']}"
            environments.append(latex.to_figure(f"{name}.pdf", caption, f"fig:{study.name}-{name}", wide))
    texts = {"figures.tex": "\n".join(environments), "figures.json": _to_json(sources)}
    texts |= _conditions_tables(study, records) if study.conditions else _tables(study, frame, lacking)
    texts["references.bib"] = references.bibliography(record.setting.method for record in records)
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    return made + [folder / name for name in texts]


def _pareto_figures(frame: pd.DataFrame, lacking: str) -> list[tuple]:
    """Per task the name, the Pareto figure, its marks, and the records that these and the dense band come from."""
    drawn = []
    for task, group in frame.groupby("task", sort=False):
        figure, marks = pareto.draw_pareto(group, SPARSITY, "", PRINT)
        band, dense = pareto.dense_band(group), controls(group)
        source = {
            "task": task,
            "caption": pareto.caption(group, lacking).replace("\n", " "),
            "x": f"{SPARSITY} in %",
            "y": "test_accuracy in %",
            "dense": {"mean": band.mean, "low": band.low, "high": band.high, "n": band.n, "keys": list(dense.key)},
            "marks": [
                {"label": m.label, "mark": m.mark, "x": m.x, "y": m.y, "keys": m.key.split()}
                for m in marks.itertuples()
            ],
        }
        drawn.append((f"pareto-{task}-{SPARSITY.removesuffix('_sparsity')}", figure, marks, source))
    return drawn


def _threshold_figures(study: Study, records: list[Record]) -> list[tuple]:
    """The same of the figures of ξ, whose marks are curves."""
    drawn = []
    for name, figure, curves, caption in thresholds.draw_thresholds(study, records, PRINT):
        source = {
            "task": curves.task.iloc[0],
            "caption": caption,
            "x": "threshold",
            "y": "hidden channels below it in %",
            "marks": [
                {
                    "label": label,
                    "mark": "mean over seeds",
                    "keys": curve.key.iloc[0].split(),
                    "x": list(curve.threshold),
                    **{end: list(curve[column]) for end, column in {"y": "mean", "low": "low", "high": "high"}.items()},
                }
                for (label, _), curve in curves.groupby(["label", "hyperparameters"], sort=False)
            ],
        }
        drawn.append((name, figure, curves, source))
    return drawn


def _conditions_figures(study: Study, records: list[Record]) -> list[tuple]:
    """The same of the figures of a conditions study, whose marks are cells, rows of bins and seeds' curves."""
    keys = {conditions_table.short_keys([record]): record.key for record in records}
    drawn = []
    for name, (figure, points, caption) in conditions_figures.draw(study, records, PRINT).items():
        marks = [{**mark, "keys": [keys[key] for key in mark["keys"].split()]} for mark in _conditions_marks(points)]
        drawn.append((name, figure, points, {"task": study.tasks[0].name, "caption": caption, "marks": marks}))
    return drawn


def _conditions_marks(points: pd.DataFrame) -> list[dict]:
    """The cells of a heat map, or per row of bins and per curve what names it and lists of its values."""
    if "factor" not in points:
        return points.to_dict("records")
    names = [column for column in ("factor", "level", "seed", "n", "keys") if column in points]
    values = points.columns.difference(names)
    return [
        {name: group[name].tolist()[0] for name in names} | {value: group[value].tolist() for value in values}
        for _, group in points.groupby(names, sort=False)
    ]


def _to_json(sources: dict) -> str:
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
        caption = f"{study.title}, {task}, n = {summary.seeds.iloc[0]} seeds. {NOTE}{lacking}"
        shown = summary.drop(columns="task")
        made[f"table-{task}.tex"] = latex.to_latex(tables.texts(shown), caption, f"tab:{study.name}-{task}")
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

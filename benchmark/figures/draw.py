"""Writes all figures and tables of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from benchmark.analysis import conditions as conditions_table
from benchmark.analysis import summary as summary_table
from benchmark.analysis import tables
from benchmark.analysis.frame import as_frame
from benchmark.analysis.tuning import Score
from benchmark.analysis.tuning_table import tuning_table
from benchmark.experiment.coverage import unfinished
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.figures import conditions, pareto, thresholds
from benchmark.figures.drawing import Drawing
from benchmark.files import write_whole


def draw(
    plan: Study, records: list[Record], folder: Path, scores: Sequence[Score] = ()
) -> tuple[pd.DataFrame, str, list[Path]]:
    """Writes a study's figures into folder/figures, and its table; returns the table, its note and all paths.

    Of a tuned study, given as it is evaluated, the scores of the candidates are written too.
    """
    lacking = unfinished(plan, records)
    frame = as_frame(records, {label: plan.legend(label) for label in plan.tables})
    if plan.conditions:
        summary, note = conditions_table.summarise(plan, records), conditions_table.NOTE + lacking
    else:
        summary, note = summary_table.summarise(frame), summary_table.note(frame) + lacking
    made = [path for drawing in _drawings(plan, records, frame) for path in drawing.write(folder / "figures")]
    if scores:
        path = folder / "tuning.csv"
        content = tuning_table(plan, scores).to_csv(index=False, lineterminator="\n")
        write_whole(path, content.encode())
        made.append(path)
    return summary, note, made + tables.write(summary, folder, note)


def _drawings(plan: Study, records: list[Record], frame: pd.DataFrame) -> Iterator[Drawing]:
    if plan.conditions:
        yield from conditions.draw(plan, records)
    else:
        yield from pareto.draw_all(frame, plan.headings, unfinished(plan, records))
        yield from thresholds.draw_thresholds(plan, records)

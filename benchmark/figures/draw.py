"""Writes all figures and tables of a study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmark.analysis import tables
from benchmark.analysis.frame import as_frame
from benchmark.analysis.summary import NOTE, summarise
from benchmark.experiment.coverage import unfinished
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study


def draw(plan: Study, records: list[Record], folder: Path) -> tuple[pd.DataFrame, str, list[Path]]:
    """Writes a study's figures into folder/figures, and its table; returns the table, its note and all paths."""
    from benchmark.analysis import conditions as conditions_table
    from benchmark.figures import conditions as conditions_figures
    from benchmark.figures import pareto, thresholds

    lacking = unfinished(plan, records)
    if plan.conditions:
        summary, note = conditions_table.summarise(plan, records), conditions_table.NOTE + lacking
        made = conditions_figures.draw_all(plan, records, folder / "figures")
    else:
        frame = as_frame(records, {label: plan.legend(label) for label in plan.tables})
        summary, note = summarise(frame), NOTE + lacking
        made = pareto.draw_all(frame, plan.title, folder / "figures", lacking)
        made += thresholds.write_thresholds(plan, records, folder / "figures")
    return summary, note, made + tables.write(summary, folder, note)

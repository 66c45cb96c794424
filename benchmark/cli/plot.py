"""Draws the figures of studies into their folders of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from benchmark.analysis import tables
from benchmark.errors import UsageError
from benchmark.experiment.record import Record, Store
from benchmark.experiment.study import Study, load_study
from benchmark.runner.run import WIDTH

console = Console(width=WIDTH)


def plot_study(
    study: Annotated[str, typer.Argument(help="A study's name or .toml file.")] = "digits",
    results: Annotated[Path, typer.Option(help="The folder that holds a folder of results per study.")] = Path(
        "results"
    ),
) -> None:
    """Draw the figures of a study and print its table.

    Example: deadweight plot digits
    """
    plan = load_study(study)
    folder = results / plan.name
    records = plan.own(Store(folder).load())
    if not records:
        raise UsageError(f"study {plan.name!r} has no records in {folder}; `deadweight run {study}` makes them")
    with console.status("drawing"):
        summary, note, made = draw(plan, records, folder)
    tables.show(summary, console, note)
    missing = plan.size - len(records)
    note = f" ({missing} of {plan.size} trials have no record yet)" if missing else ""
    console.print(f"wrote {len(made)} files under {folder}{note}; start with {made[0]}")


def draw(plan: Study, records: list[Record], folder: Path) -> tuple[pd.DataFrame, str, list[Path]]:
    """Writes a study's figures into folder/figures, and its table; returns the table, its note and all paths."""
    from benchmark.analysis import conditions as conditions_table
    from benchmark.figures import conditions as conditions_figures
    from benchmark.figures import pareto, thresholds

    lacking = plan.unfinished(records)
    if plan.conditions:
        summary, note = conditions_table.summarise(plan, records), conditions_table.NOTE + lacking
        made = conditions_figures.draw_all(plan, records, folder / "figures")
    else:
        frame = tables.frame(records, {label: plan.legend(label) for label in plan.tables})
        summary, note = tables.summarise(frame), tables.NOTE + lacking
        made = pareto.draw_all(frame, plan.title, folder / "figures", lacking)
        made += thresholds.write_thresholds(plan, records, folder / "figures")
    return summary, note, made + tables.write(summary, folder, note)

"""The summary of a study as a table: in Markdown, as CSV, on the terminal."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmark.analysis.intervals import Interval, shown
from benchmark.files import write_whole

NAME = 24  # characters of a row's name that a narrow terminal does not break


def flatten(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary with a column each for an interval's mean, ends, n, and what the ends are."""
    flat = {}
    for name, column in summary.items():
        if isinstance(column.iloc[0], Interval):
            for part in ("mean", "low", "high", "n", "ends"):
                flat[f"{name} {part}"] = column.map(attrgetter(part))
        else:
            flat[str(name)] = column
    return pd.DataFrame(flat)


def write(summary: pd.DataFrame, folder: Path, note: str) -> list[Path]:
    """Writes a summary as table.md, with the note below it, and as table.csv; returns their paths."""
    markdown, csv = folder / "table.md", folder / "table.csv"
    write_whole(markdown, (to_markdown(summary) + "\n" + note + "\n").encode())
    write_whole(csv, flatten(summary).to_csv(index=False, lineterminator="\n").encode())
    return [markdown, csv]


def to_markdown(summary: pd.DataFrame) -> str:
    """The summary as a table in Markdown."""
    cells = texts(summary).map(lambda text: text.replace("|", r"\|"))  # which would end the cell
    header = f"| {' | '.join(cells.columns)} |\n|{' --- |' * len(cells.columns)}\n"
    return header + "".join(f"| {' | '.join(row)} |\n" for row in cells.itertuples(index=False))


def texts(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary's cells as they are shown."""
    seeds = summary.seeds if "seeds" in summary else [0] * len(summary)
    cells = {
        name: [_text(str(name), value, count) for value, count in zip(column, seeds, strict=True)]
        for name, column in summary.items()
    }
    return pd.DataFrame(cells, index=summary.index, dtype=object)


def show(summary: pd.DataFrame, console: Console, note: str) -> None:
    """Prints a summary, one table for each value of its first column, and the note."""
    for title, rows in summary.groupby(summary.columns[0], sort=False):
        cells = texts(rows).drop(columns=summary.columns[0])
        table = Table(title=str(title), box=None)
        for place, name in enumerate(cells):
            widest = min(NAME, cells[name].str.len().max()) if place == 0 else None
            table.add_column(str(name), justify="right" if place else "left", overflow="fold", min_width=widest)
        for row in cells.itertuples(index=False):
            table.add_row(*row)
        console.print(table)
    console.print(note, style="dim")


def _text(name: str, value: object, seeds: int) -> str:
    """A cell; an interval over fewer than all `seeds` says over how many."""
    if not isinstance(value, Interval):
        return str(value)
    if name == "hypervolume":
        return shown(value, seeds, factor=1, digits=3)
    return shown(value, seeds, digits=2 if name == "slope" else 1, sign="+" if name.endswith("on test") else "")

"""The summary of a study as a table: in Markdown, as CSV, on the terminal."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmark.analysis.intervals import Interval
from benchmark.analysis.summary import NOTE
from benchmark.files import write_whole


def flatten(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary with a column each for an interval's mean, ends and n."""
    flat = {}
    for name, column in summary.items():
        if isinstance(column.iloc[0], Interval):
            for part in ("mean", "low", "high", "n"):
                flat[f"{name} {part}"] = column.map(attrgetter(part))
        else:
            flat[str(name)] = column
    return pd.DataFrame(flat)


def write(summary: pd.DataFrame, folder: Path, note: str = NOTE) -> list[Path]:
    """Writes a summary as table.md, with the note below it, and as table.csv; returns their paths."""
    markdown, csv = folder / "table.md", folder / "table.csv"
    write_whole(markdown, (to_markdown(summary) + "\n" + note + "\n").encode())
    write_whole(csv, flatten(summary).to_csv(index=False, lineterminator="\n").encode())
    return [markdown, csv]


def to_markdown(summary: pd.DataFrame) -> str:
    """The summary as a table in Markdown."""
    shown = texts(summary)
    header = f"| {' | '.join(shown.columns)} |\n|{' --- |' * len(shown.columns)}\n"
    return header + "".join(f"| {' | '.join(row)} |\n" for row in shown.itertuples(index=False))


def texts(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary's cells as they are shown."""
    seeds = summary.seeds if "seeds" in summary else [0] * len(summary)
    cells = {
        name: [_text(str(name), value, count) for value, count in zip(column, seeds, strict=True)]
        for name, column in summary.items()
    }
    return pd.DataFrame(cells, index=summary.index, dtype=object)


def show(summary: pd.DataFrame, console: Console, note: str = NOTE) -> None:
    """Prints a summary, one table for each value of its first column, and the note."""
    for title, rows in summary.groupby(summary.columns[0], sort=False):
        shown = texts(rows).drop(columns=summary.columns[0])
        table = Table(title=str(title), box=None)
        for place, name in enumerate(shown):
            table.add_column(str(name), justify="right" if place else "left", overflow="fold")
        for row in shown.itertuples(index=False):
            table.add_row(*row)
        console.print(table)
    console.print(note, style="dim")


def _text(name: str, value: object, seeds: int) -> str:
    """A cell; an interval over fewer than all `seeds` says over how many."""
    if isinstance(value, Interval):
        if np.isnan(value.mean):
            return "–"
        factor, digits = (1, 3) if name == "hypervolume" else (100, 1)
        spread = "" if value.n < 2 else f" ± {factor * (value.high - value.mean):.{digits}f}"
        count = f" ({value.n})" if value.n < seeds else ""
        return f"{factor * value.mean:.{digits}f}{spread}{count}"
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.2f}"
    return str(value)

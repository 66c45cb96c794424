"""How methods look on a page: colours, markers, and numbers as JSON can hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.markers import MarkerStyle

from benchmark.analysis.frame import CONTROL, SCRATCH
from benchmark.figures.style import dashes, looks

SYMBOLS = {
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "^": "triangle-up",
    "v": "triangle-down",
    "P": "cross",
    "*": "star",
    "X": "x",
    "<": "triangle-left",
    ">": "triangle-right",
    "p": "pentagon",
}


@dataclass(frozen=True)
class Look:
    """How a method looks on a page: colour, plotly's dash and symbol, and its marker as an SVG polygon's points."""

    color: str
    dash: str
    symbol: str
    swatch: str


def all_looks(records: pd.DataFrame) -> dict[str, Look]:
    """The look of every label of a study, the same in all its charts; dense's is grey, the line to beat the text's."""
    made = {}
    for label, (color, marker) in looks(label for label in records.label.unique() if label != CONTROL).items():
        shown = "currentColor" if label == SCRATCH else mpl.colors.to_hex(color)
        made[label] = Look(shown, "dash" if dashes(label) == "--" else "solid", SYMBOLS[marker], _swatch(marker))
    return {**made, CONTROL: Look("#808080", "solid", "circle", _swatch("o"))}


def _swatch(marker: str) -> str:
    """A marker as the points of an SVG polygon within −1 and 1."""
    style = MarkerStyle(marker)
    points = style.get_path().transformed(style.get_transform()).to_polygons()[0]
    return " ".join(f"{x:.2f},{-y:.2f}" for x, y in points / np.abs(points).max())


def method_looks(records: pd.DataFrame) -> list[dict[str, str]]:
    """The methods in the legend's order, with their looks."""
    made = all_looks(records)
    found = records.drop_duplicates("label")
    return [{"label": m.label, "title": m.title, **vars(made[m.label])} for m in found.itertuples()]


def values(column: pd.Series) -> list[Any]:
    return [number(value) for value in column.tolist()]


def number(value: Any) -> Any:
    """JSON has no NaN; four decimals are more than a screen shows."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    return value

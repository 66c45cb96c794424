"""How methods look on a page: colours, markers, and numbers as JSON can hold them."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.markers import MarkerStyle

from benchmark.analysis.frame import CONTROL, SCRATCH
from benchmark.figures.style import dashes, style

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


def color(label: str) -> str:
    """A method's colour; dense's is grey, that of the line to beat the text's."""
    if label == SCRATCH:
        return "currentColor"
    return "#808080" if label == CONTROL else mpl.colors.to_hex(style(label)[0])


def dash(label: str) -> str:
    """How plotly draws a method's line."""
    return "dash" if dashes(label) == "--" else "solid"


def swatch(label: str) -> str:
    """A method's marker as the points of an SVG polygon within −1 and 1."""
    marker = MarkerStyle("o" if label == CONTROL else style(label)[1])
    path = marker.get_path().transformed(marker.get_transform())
    points = path.to_polygons()[0]
    return " ".join(f"{x:.2f},{-y:.2f}" for x, y in points / np.abs(points).max())


def method_looks(records: pd.DataFrame) -> list[dict[str, str]]:
    """The methods in the legend's order, with their looks."""
    found = records.drop_duplicates("label")
    return [
        {"label": m.label, "title": m.title, "color": color(m.label), "dash": dash(m.label), "swatch": swatch(m.label)}
        | {"symbol": "circle" if m.label == CONTROL else SYMBOLS[style(m.label)[1]]}
        for m in found.itertuples()
    ]


def values(column: pd.Series) -> list[Any]:
    return [number(value) for value in column.tolist()]


def number(value: Any) -> Any:
    """JSON has no NaN; four decimals are more than a screen shows."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    return value

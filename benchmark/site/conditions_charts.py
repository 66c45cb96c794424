"""The figures of a conditions study as what plotly.js draws: traces and layouts as plain dictionaries."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from benchmark.analysis.intervals import decimal
from benchmark.figures.conditions import SMALLEST
from benchmark.figures.style import METHOD_COLORS
from benchmark.site.charts import plain
from benchmark.site.looks import number, values

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKS = (0.0, 0.01, 0.1, 0.5, 1.0)  # shares that the histograms' colour bar names
ROW = 34  # height of a row in pixels
SHARES = [[0, "rgba(128,128,128,0.06)"], [0.1, "#5fa8dc"], [0.5, "#2f7fd0"], [1, "#dc267f"]]  # on white and on black


def heatmap(cells: pd.DataFrame, factors: tuple[str, str]) -> dict[str, Any]:
    """Channels never active by two factors, with what else a cell of the static figure says."""
    y, x = (list(dict.fromkeys(cells[factor])) for factor in factors)
    shape = len(y), len(x)
    texts = [
        f"{_percent(cell['never active'])}<br>{_percent(cell['sparsity'])}<br>({decimal(cell['accuracy'])})"
        if cell["n"]
        else "–"
        for cell in cells.to_dict("records")
    ]
    trace = {
        "type": "heatmap",
        "x": [plain(str(level)) for level in x],
        "y": [plain(str(level)) for level in y],
        "z": [values(pd.Series(row)) for row in cells["never active"].to_numpy(float).reshape(shape)],
        "text": np.array(texts, dtype=object).reshape(shape).tolist(),
        "customdata": cells.n.to_numpy().reshape(shape).tolist(),
        "texttemplate": "%{text}",
        "colorscale": "Cividis",
        "zmin": 0,
        "zmax": 100,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": "never active (%)", "side": "right"}, "thickness": 12},
        "hovertemplate": f"{factors[0]} %{{y}}, {factors[1]} %{{x}}<br>%{{text}}, n = %{{customdata}}<extra></extra>",
    }
    axes = {
        "xaxis": {"title": {"text": factors[1]}, "type": "category"},
        "yaxis": {"title": {"text": factors[0]}, "type": "category", "autorange": "reversed"},
    }
    return {"data": [trace], "layout": {**axes, "height": 140 + 60 * len(y)}}


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0f} %"


def histograms(points: pd.DataFrame) -> dict[str, Any]:
    """By factor a row for each of its levels: the share of channels by norm, its colour by the share's square root."""
    plots = {}
    for factor, group in points.groupby("factor", sort=False):
        levels = list(dict.fromkeys(group.level))
        edges = np.sort(group["log10 norm"].unique())
        shares = group.share.to_numpy(float).reshape(len(levels), len(edges))
        trace = {
            "type": "heatmap",
            "x": edges.round(2).tolist(),
            "y": [plain(str(level)) for level in levels],
            "z": [[number(float(value)) for value in row] for row in np.sqrt(shares)],
            "customdata": [[number(float(value)) for value in row] for row in 100 * shares],
            "colorscale": SHARES,
            "zmin": 0,
            "zmax": 1,
            "ygap": 3,
            "colorbar": {
                "title": {"text": "channels (%)", "side": "right"},
                "tickvals": [round(share**0.5, 4) for share in MARKS],
                "ticktext": [f"{100 * share:g}" for share in MARKS],
                "thickness": 12,
            },
            "hovertemplate": "%{y}: %{customdata:.2f} % of the channels, log₁₀ ‖w‖ from %{x}<extra></extra>",
        }
        axis = {"title": {"text": f"log₁₀ ‖w‖ (leftmost: zeros and all below 1e{SMALLEST:g})"}}
        plots[str(factor)] = {"data": [trace], "layout": _rows(axis, len(levels))}
    return plots


def _rows(axis: dict[str, Any], count: int) -> dict[str, Any]:
    return {
        "xaxis": axis,
        "yaxis": {"type": "category", "autorange": "reversed"},
        "height": max(240, 120 + ROW * count),
    }


def lines(points: pd.DataFrame, x: dict[str, Any], y: str) -> dict[str, Any]:
    """By factor a line for each of its levels, the mean over seeds, in a band from the least to the most of them."""
    plots = {}
    for factor, group in points.groupby("factor", sort=False):
        traces = []
        for place, (level, own) in enumerate(group.groupby("level", sort=False)):
            seeds = own.groupby("x").y
            ends = pd.DataFrame({"mean": seeds.mean(), "low": seeds.min(), "high": seeds.max()}).reset_index()
            traces += _line(plain(str(level)), ends, place)
        layout = {"xaxis": x, "yaxis": {"title": {"text": y}, "range": [-3, 103]}, "height": 420}
        plots[str(factor)] = {"data": traces, "layout": layout}
    return plots


def _line(name: str, ends: pd.DataFrame, place: int) -> list[dict[str, Any]]:
    color = mpl.colors.to_hex(METHOD_COLORS[place % len(METHOD_COLORS)])
    at = ends.x.tolist()  # a threshold is smaller than what `values` keeps
    band = {
        "type": "scatter",
        "mode": "none",
        "x": [*at, *at[::-1]],
        "y": [*values(ends.high), *values(ends.low)[::-1]],
        "fill": "toself",
        "fillcolor": color,
        "opacity": 0.18,
        "hoverinfo": "skip",
        "showlegend": False,
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": at,
        "y": values(ends["mean"]),
        "customdata": np.column_stack([ends.low, ends.high]).round(2).tolist(),
        "line": {"color": color, "dash": DASHES[place % len(DASHES)], "width": 2},
        "hovertemplate": f"{name}<br>%{{x}}: %{{y:.1f}} %, %{{customdata[0]}} to %{{customdata[1]}}<extra></extra>",
    }
    return [band, line]

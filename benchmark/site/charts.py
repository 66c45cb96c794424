"""Tidy data frames to what plotly.js draws: traces and layouts as plain dictionaries."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns

from benchmark.site.looks import Look, number, values

LEGEND_ROW = 20  # height in pixels
SHADES = sns.color_palette("blend:#2f7fd0,#8a6be0,#dc267f,#e08a1e", as_cmap=True)  # all of it shows on white and black


def point_lines(tidy: pd.DataFrame, x: str, panels: dict[str, str], x_axis: dict[str, Any]) -> dict[str, Any]:
    """One plot per task and method of lines, one per knob point from blue to orange, in a panel for each measure.

    `panels` gives the vertical axes' titles by measure; a frame without measures has one panel.
    """
    plots = {}
    for (task, label), group in tidy.groupby(["task", "label"], sort=False):
        places = sorted(group.place.unique())
        shades = [mpl.colors.to_hex(SHADES(i / max(1, len(places) - 1))) for i in range(len(places))]
        traces = []
        for panel, measure in enumerate(panels, start=1):
            part = group if len(panels) == 1 else group[group.measure == measure]
            for (place, point), line in part.groupby(["place", "point"]):
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "lines",
                        "name": point,
                        "legendgroup": point,
                        "showlegend": panel == 1,
                        "x": values(line[x]),
                        "y": values(100 * line["mean"]),
                        "customdata": _ends(line),
                        "line": {"color": shades[places.index(place)], "width": 2},
                        "yaxis": "y" if panel == 1 else f"y{panel}",
                        "hovertemplate": f"{plain(point)}<br>%{{x}}: {_shown(line)}<extra></extra>",
                    }
                )
        plots[f"{task}/{label}"] = {"data": traces, "layout": _panels(panels, x_axis)}
    return plots


def layer_lines(tidy: pd.DataFrame) -> dict[str, Any]:
    """One plot per task and method: the share of each layer's channels that is left, one line per knob point."""
    shares = tidy.assign(**{part: tidy[part] / tidy.whole for part in ("mean", "low", "high")})
    axis = {"title": {"text": "layer, by its place in the network"}, "type": "category"}
    plots = point_lines(shares, "layer", {"left": "channels left (%)"}, axis)
    for plot in plots.values():
        for trace in plot["data"]:
            trace["mode"] = "lines+markers"
        plot["layout"]["yaxis"]["rangemode"] = "tozero"
    return plots


def norm_bars(tidy: pd.DataFrame) -> dict[str, Any]:
    """One plot per task and method: how many channels have which norm, one outline per knob point."""
    lowest = tidy["lower edge"].replace(-np.inf, np.nan).groupby([tidy.task, tidy.label]).transform("min")
    edges = tidy["lower edge"].where(tidy["lower edge"] > -np.inf, lowest.fillna(0) - 1)
    axis = {"title": {"text": "log₁₀ ‖w‖₂, bin's lower edge (leftmost: all below)"}}
    plots = point_lines(tidy.assign(edge=edges), "edge", {"share": "channels (%)"}, axis)
    for plot in plots.values():
        for trace in plot["data"]:
            x = trace["x"]
            trace["line"]["shape"] = "hv"
            x.append(x[-1] + (x[-1] - x[-2] if len(x) > 2 else 1))  # where the last bin ends
            trace["y"].append(trace["y"][-1])
            trace["customdata"].append(trace["customdata"][-1])
    return plots


def stability_lines(tidy: pd.DataFrame, looks: dict[str, Look]) -> dict[str, Any]:
    """One plot per task: test accuracy and share removed against the knob point's place, one line per method."""
    titles = {"test_accuracy": "test accuracy (%)", "param_sparsity": "parameters removed (%)"}
    plots = {}
    for task, group in tidy.groupby("task", sort=False):
        traces = []
        for panel, measure in enumerate(titles, start=1):
            lines = group[group.measure == measure].groupby(["label", "title"], sort=False)
            traces += [_stability_line(label, title, line, panel, looks[label]) for (label, title), line in lines]
        axis = {"title": {"text": "knob point, from weak to strong"}, "dtick": 1 if group.place.max() <= 20 else None}
        plots[task] = {"data": traces, "layout": _panels(titles, axis)}
        plots[task]["layout"]["height"] += LEGEND_ROW * math.ceil(group.label.nunique() / 4)
    return plots


def _stability_line(label: str, title: str, line: pd.DataFrame, panel: int, look: Look) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(title),
        "meta": label,
        "legendgroup": label,
        "showlegend": panel == 1,
        "x": line.place.tolist(),
        "y": values(100 * line["mean"]),
        "customdata": _ends(line),
        "text": line.point.tolist(),
        "marker": {"symbol": look.symbol, "size": 7},
        "line": {"color": look.color, "dash": look.dash, "width": 1.5},
        "yaxis": "y" if panel == 1 else f"y{panel}",
        "error_y": {
            "symmetric": False,
            "array": values(100 * (line.high - line["mean"])),
            "arrayminus": values(100 * (line["mean"] - line.low)),
            "thickness": 0.8,
            "width": 2,
        },
        "hovertemplate": f"{plain(title)}<br>%{{text}}: {_shown(line)}<extra></extra>",
    }


def _panels(titles: dict[str, str], x_axis: dict[str, Any]) -> dict[str, Any]:
    """Vertical axes one above the other, over one horizontal axis."""
    share, layout = 1 / len(titles), {}
    for place, title in enumerate(titles.values()):
        top = 1 - place * share
        name = "yaxis" if place == 0 else f"yaxis{place + 1}"
        layout[name] = {"title": {"text": title}, "domain": [top - share + (0.04 if len(titles) > 1 else 0), top]}
    bottom = "y" if len(titles) == 1 else f"y{len(titles)}"
    return {**layout, "xaxis": {**x_axis, "anchor": bottom}, "height": 240 + 180 * len(titles)}


def _ends(tidy: pd.DataFrame) -> list[list[float | None]]:
    """The intervals' ends, in %."""
    return [[number(end) for end in row] for row in (100 * tidy[["low", "high"]]).round(2).to_numpy().tolist()]


def _shown(tidy: pd.DataFrame) -> str:
    """A value with its interval and n, as plotly fills it in."""
    low, high = tidy.n.min(), tidy.n.max()
    ends = ", %{customdata[0]} to %{customdata[1]}" if low > 1 else ""
    return f"%{{y:.2f}}{ends}, n = {low}" + (f" to {high}" if high > low else "")


def plain(text: str) -> str:
    """Text that plotly's markup leaves as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")

"""Data frames to what plotly.js draws: plain dictionaries of traces and layouts, with the styles of benchmark.figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.markers import MarkerStyle

from benchmark.figures import AXES, corners, style
from benchmark.pareto import attained, mean_interval
from benchmark.tables import CONTROL, MEASURED, controls

X = {**AXES, "latency_saved": "latency saved (%), taken beside other trials"}
DRAWN = 2000  # trials of a task that the interactive figure draws at most
BELOW = 10.0  # accuracy points below dense that it shows at first
SYMBOLS = {
    "o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "P": "cross", "*": "star",
    "X": "x", "<": "triangle-left", ">": "triangle-right", "p": "pentagon",
}  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Chart:
    """A figure of a page. `plots` has one plot for each task, or for each "task/method label" with `by_method`."""

    name: str
    alt: str
    plots: dict[str, dict[str, Any]] = field(repr=False)
    by_method: bool = False


def color(label: str) -> str:
    """A method's colour; the control's is grey."""
    return "#808080" if label == CONTROL else mpl.colors.to_hex(style(label)[0])


def swatch(label: str) -> str:
    """A method's marker as the points of an SVG polygon within −1 and 1."""
    marker = MarkerStyle("o" if label == CONTROL else style(label)[1])
    path = marker.get_path().transformed(marker.get_transform())
    points = path.to_polygons()[0]
    return " ".join(f"{x:.2f},{-y:.2f}" for x, y in points / np.abs(points).max())


def methods(records: pd.DataFrame) -> list[dict[str, str]]:
    """The methods in the legend's order, with their looks."""
    found = records.drop_duplicates("label")
    return [
        {"label": m.label, "title": m.title, "color": color(m.label), "swatch": swatch(m.label)}
        | {"symbol": "circle" if m.label == CONTROL else SYMBOLS[style(m.label)[1]]}
        for m in found.itertuples()
    ]


def pareto(records: pd.DataFrame, surfaces: pd.DataFrame) -> dict[str, Any]:
    """All that the interactive figure shows: by task its trials, its dense control and, by axis, what seeds attain."""
    axes = [kind for kind in X if records[kind].notna().any()] or list(X)[:1]
    tasks = {}
    for task, group in records.groupby("task", sort=False):
        mine = surfaces[surfaces.task == task]
        tasks[task] = {
            "dense": _control(group),
            "trials": _trials(group, axes),
            "lines": {kind: _lines(mine[mine.axis == kind]) for kind in axes},
        }
    return {"axes": {kind: X[kind] for kind in axes}, "tasks": tasks, "below": BELOW}


def all_corners(records: pd.DataFrame) -> pd.DataFrame:
    """The corners of every method's attainment surfaces, in %, on every task and axis; exact, never thinned."""
    measured, parts = records[records.status.isin(MEASURED)], []
    for task, group in measured.groupby("task", sort=False):
        for kind in X:
            if group[kind].notna().any():
                parts.append(corners(group[group[kind].notna()], kind).assign(task=task, axis=kind))
    names = ["task", "axis", "label", "title", "mark", "x", "y"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def _control(group: pd.DataFrame) -> dict[str, float | int | None]:
    return {k: _number(v) for k, v in vars(mean_interval(100 * controls(group).test_accuracy)).items()}


def _trials(group: pd.DataFrame, axes: list[str]) -> dict[str, Any]:
    measured = group[group.status.isin(MEASURED)]
    step = max(1, -(-len(measured) // DRAWN))
    shown = measured.iloc[::step]
    texts, places = np.unique(shown[["hyperparameters", "channels_left"]].to_numpy(str), return_inverse=True)
    places = places.reshape(-1, 2)
    return {
        "count": len(measured),
        "texts": texts.tolist(),
        "hyperparameters": places[:, 0].tolist(),
        "left": places[:, 1].tolist(),
        "key": shown.key.str[:12].tolist(),
        **{name: shown[name].tolist() for name in ("label", "seed", "status")},
        "y": _percent(shown.test_accuracy),
        "validation": _percent(shown.val_accuracy),
        "x": {kind: _percent(shown[kind]) for kind in axes},
    }


def _lines(surfaces: pd.DataFrame) -> dict[str, Any]:
    found = {}
    for label, group in surfaces.groupby("label", sort=False):
        marks = {m.removeprefix("attained by "): g[["x", "y"]].to_numpy(float) for m, g in group.groupby("mark")}
        one, half, everyone = (marks.get(mark, np.empty((0, 2))) for mark in ("one", "half", "all"))
        if len(half):
            found[label] = {"half": _rounded(half), "band": _rounded(_band(one, everyone))}
    return found


def _band(one: np.ndarray, everyone: np.ndarray) -> np.ndarray:
    """The outline of what lies between two surfaces, as far as both reach."""
    start = min(0.0, *one[:, 0], *everyone[:, 0])
    grid = np.unique(np.concatenate([[start], one[:, 0], everyone[:, 0]]))
    high, low = attained(one, grid), attained(everyone, grid)
    both = ~np.isnan(high) & ~np.isnan(low)
    grid, high, low = grid[both], high[both], low[both]
    if len(grid) < 2:
        return np.empty((0, 2))
    x = np.repeat(grid, 2)[1:-1]
    top, bottom = np.repeat(high[1:], 2), np.repeat(low[1:], 2)
    return np.concatenate([np.column_stack([x, top]), np.column_stack([x, bottom])[::-1]])


def point_lines(tidy: pd.DataFrame, x: str, panels: dict[str, str], x_axis: dict[str, Any]) -> dict[str, Any]:
    """One plot per task and method of lines, one per knob point from light to dark, in a panel for each measure.

    `panels` gives the vertical axes' titles by measure; a frame without measures has one panel.
    """
    plots = {}
    for (task, label), group in tidy.groupby(["task", "label"], sort=False):
        places = sorted(group.place.unique())
        shades = sns.color_palette("viridis", len(places)).as_hex()
        traces = []
        for number, measure in enumerate(panels, start=1):
            part = group if len(panels) == 1 else group[group.measure == measure]
            for (place, point), line in part.groupby(["place", "point"]):
                first = number == 1
                traces.append(
                    {
                        "type": "scatter", "mode": "lines", "name": point, "legendgroup": point, "showlegend": first,
                        "x": _values(line[x]), "y": _values(100 * line["mean"]),
                        "customdata": _spread(line), "line": {"color": shades[places.index(place)], "width": 2},
                        "yaxis": "y" if number == 1 else f"y{number}",
                        "hovertemplate": f"{_plain(point)}<br>%{{x}}: %{{y:.2f}} ± %{{customdata}}, {_count(line)}<extra></extra>",
                    }
                )  # fmt: skip
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


def stability_lines(tidy: pd.DataFrame) -> dict[str, Any]:
    """One plot per task: test accuracy and share removed against the knob point's place, one line per method."""
    titles = {"test_accuracy": "test accuracy (%)", "param_sparsity": "parameters removed (%)"}
    plots = {}
    for task, group in tidy.groupby("task", sort=False):
        traces = []
        for number, measure in enumerate(titles, start=1):
            for (label, title), line in group[group.measure == measure].groupby(["label", "title"], sort=False):
                traces.append(
                    {
                        "type": "scatter", "mode": "lines+markers", "name": title, "meta": label, "showlegend": False,
                        "x": line.place.tolist(), "y": _values(100 * line["mean"]), "customdata": _spread(line),
                        "text": line.point.tolist(), "marker": {"symbol": SYMBOLS[style(label)[1]], "size": 7},
                        "line": {"color": color(label), "width": 1.5}, "yaxis": "y" if number == 1 else f"y{number}",
                        "error_y": {"array": _values(100 * (line.high - line["mean"])), "thickness": 0.8, "width": 2},
                        "hovertemplate": f"{_plain(title)}<br>%{{text}}: %{{y:.2f}} ± %{{customdata}}, {_count(line)}<extra></extra>",
                    }
                )  # fmt: skip
        axis = {"title": {"text": "knob point, from weak to strong"}, "dtick": 1 if group.place.max() <= 20 else None}
        plots[task] = {"data": traces, "layout": _panels(titles, axis)}
    return plots


def cost_bars(tidy: pd.DataFrame) -> dict[str, Any]:
    """One plot per task: a bar of mean training seconds per method."""
    plots = {}
    for task, group in tidy.iloc[::-1].groupby("task", sort=False):
        traces = [
            {
                "type": "bar", "orientation": "h", "name": bar.title, "meta": bar.label, "showlegend": False,
                "y": [bar.title], "x": [_number(bar.mean)], "marker": {"color": color(bar.label)},
                "error_x": {"array": [_number(bar.high - bar.mean)], "thickness": 1, "width": 3},
                "hovertemplate": f"{_plain(bar.title)}: %{{x:.3g}} s a trial<extra></extra>",
            }
            for bar in group.rename(columns={"over dense": "ratio"}).itertuples()
        ]  # fmt: skip
        layout = {"xaxis": {"title": {"text": "training seconds of a trial"}, "rangemode": "tozero"}}
        layout |= {"yaxis": {"automargin": True, "type": "category"}, "height": 120 + 24 * len(group)}
        plots[task] = {"data": traces, "layout": layout}
    return plots


def _panels(titles: dict[str, str], x_axis: dict[str, Any]) -> dict[str, Any]:
    """Vertical axes one above the other, over one horizontal axis."""
    share, layout = 1 / len(titles), {}
    for place, title in enumerate(titles.values()):
        top = 1 - place * share
        name = "yaxis" if place == 0 else f"yaxis{place + 1}"
        layout[name] = {"title": {"text": title}, "domain": [top - share + (0.04 if len(titles) > 1 else 0), top]}
    bottom = "y" if len(titles) == 1 else f"y{len(titles)}"
    return {**layout, "xaxis": {**x_axis, "anchor": bottom}, "height": 240 + 180 * len(titles)}


def _spread(tidy: pd.DataFrame) -> list[float | None]:
    """Half the intervals' widths, in %."""
    return [_number(half) for half in (100 * (tidy.high - tidy["mean"])).round(2).tolist()]


def _count(tidy: pd.DataFrame) -> str:
    low, high = tidy.n.min(), tidy.n.max()
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def _percent(column: pd.Series) -> list[float | None]:
    return _values(100 * column)


def _values(column: pd.Series) -> list[Any]:
    return [_number(value) for value in column.tolist()]


def _number(value: Any) -> Any:
    """JSON has no NaN; four decimals are more than a screen shows."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    return value


def _rounded(points: np.ndarray) -> list[list[float]]:
    return [column.round(4).tolist() for column in points.T]


def _plain(text: str) -> str:
    """Text that plotly's markup leaves as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")

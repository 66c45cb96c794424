"""What the interactive Pareto figure shows, as JSON can hold it, with the styles of benchmark.figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis.frame import STAGES, controls
from benchmark.analysis.pareto import attained
from benchmark.analysis.stages import WORDS, fell
from benchmark.experiment.record import MEASURED
from benchmark.figures.marks import collect_corners
from benchmark.figures.pareto import AXES, dense_band
from benchmark.site.looks import number, values

MANY = 8  # methods beyond which each has a panel of its own at first
DRAWN = 2000  # trials of a task that the interactive figure draws at most
BELOW = 10.0  # accuracy points below dense that it shows at first


def pareto(records: pd.DataFrame, surfaces: pd.DataFrame, words: Mapping[str, str]) -> dict[str, Any]:
    """All that the interactive figure shows: by task its trials, its dense control and, by axis, what seeds attain.

    `words` gives tasks as a reader names them.
    """
    axes = [kind for kind in AXES if records[kind].notna().any()] or list(AXES)[:1]
    tasks = {}
    for task, group in records.groupby("task", sort=False):
        mine = surfaces[surfaces.task == task]
        tasks[task] = {
            "dense": _control(group),
            "title": words.get(str(task), str(task)),
            "trials": _trials(group, axes),
            "lines": {kind: _lines(mine[mine.axis == kind]) for kind in axes},
        }
    panels = records.label.nunique() > MANY
    stages = list(WORDS.values())
    return {
        "axes": {kind: AXES[kind] for kind in axes},
        "tasks": tasks,
        "below": BELOW,
        "panels": panels,
        "stages": stages,
    }


def all_corners(records: pd.DataFrame) -> pd.DataFrame:
    """The corners of every method's attainment surfaces, in %, on every task and axis; exact, never thinned."""
    parts = []
    for task, group in records.groupby("task", sort=False):
        for kind in AXES:
            if group[kind].notna().any():
                parts.append(collect_corners(group, kind).assign(task=task, axis=kind))
    names = ["task", "axis", "label", "title", "mark", "x", "y"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def _control(group: pd.DataFrame) -> dict[str, float | None]:
    return {k: number(v) for k, v in vars(dense_band(group)).items()}


def _trials(group: pd.DataFrame, axes: list[str]) -> dict[str, Any]:
    measured = group[group.status.isin(MEASURED)]
    # at random: every n-th could be the same knob point of every seed
    shown = measured.sample(min(DRAWN, len(measured)), random_state=0).sort_index()
    start = controls(group).set_index("seed").val_accuracy
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
        "start": _percent(shown.seed.map(start)),
        "stages": [_percent(shown[f"{stage}_accuracy"]) for stage in STAGES],
        "fell": _fell(shown, start),
    }


def _fell(trials: pd.DataFrame, start: pd.Series) -> list[int | None]:
    """The place among the stages of the one at which each trial's accuracy fell most."""
    found = []
    for trial in trials.to_dict("records"):
        known = {stage: trial[f"{stage}_accuracy"] for stage in STAGES if not np.isnan(trial[f"{stage}_accuracy"])}
        stage = fell(known, start.get(trial["seed"]))
        found.append(None if stage is None else STAGES.index(stage))
    return found


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


def _percent(column: pd.Series) -> list[float | None]:
    return values(100 * column)


def _rounded(points: np.ndarray) -> list[list[float]]:
    return [column.round(4).tolist() for column in points.T]

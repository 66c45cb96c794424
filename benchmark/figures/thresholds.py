"""How far results depend on ξ: the channels below it after training, for every ξ that a record counted."""

from __future__ import annotations

import json
import math
import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from benchmark.experiment.coverage import unfinished
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.figures.drawing import Drawing, add_texts
from benchmark.figures.style import SCREEN, Page, plain

NEAR = 0.01  # ξ below which a channel counts as close to zero; methods that bring none there have no panel
COLORMAP = sns.color_palette("flare", as_cmap=True)  # all of it stands out on white


def draw_thresholds(study: Study, records: list[Record], page: Page = SCREEN) -> list[Drawing]:
    """Per task the share of hidden channels with ‖w_k‖₂ < ξ against ξ, a panel per method.

    A line is the mean over seeds of one setting, its band from the smallest to the largest. The points are the curves,
    y in %, with the records' keys. A task whose records hold nothing to draw has no figure.
    """
    counted = [record for record in records if record.threshold_sweep and record.measured]
    lacking = unfinished(study, records)
    curves = _curves(study, counted)
    if curves.empty:
        return []
    near = curves[(curves.threshold <= NEAR) & (curves.high > 0)][["task", "label"]].drop_duplicates()
    drawn = []
    for task, group in curves.groupby("task", sort=False):
        shown = group[group.label.isin(near.label[near.task == task])]
        if len(shown):
            hidden = list(group.title[~group.label.isin(shown.label)].unique())
            text = caption(shown, hidden) + lacking
            with mpl.rc_context(page.settings):
                figure = _draw(shown, page)
                if not page.print:
                    add_texts(figure, study.headings[task], textwrap.fill(text, 140))
            drawn.append(Drawing(f"thresholds-{task}", figure, shown, text, page))
    return drawn


def _curves(study: Study, records: list[Record]) -> pd.DataFrame:
    """One row per setting of a method and ξ that all its records counted: mean and ends over seeds, shares in %."""
    place = {label: i for i, label in enumerate(study.tables)}
    settings: dict[tuple, list[Record]] = {}
    for r in sorted(records, key=lambda r: (r.task.name, place[r.label], _knob(r), r.seed, r.key)):
        setting = json.dumps(r.setting.hyperparameters, sort_keys=True)
        settings.setdefault((r.task.name, r.label, setting), []).append(r)
    rows = []
    for (task, label, setting), group in settings.items():
        shared = {"task": task, "label": label, "title": study.legend(label), "hyperparameters": setting}
        shared |= {
            "knob_name": group[0].knob or "",
            "knob": _knob(group[0]),
            "n": len(group),
            "key": " ".join(r.key for r in group),
        }
        for threshold in sorted(set.intersection(*(set(r.threshold_sweep) for r in group)), key=float):
            shares = [100 * r.threshold_sweep[threshold] for r in group]
            ends = {"mean": float(np.mean(shares)), "low": min(shares), "high": max(shares)}
            rows.append(shared | {"threshold": float(threshold)} | ends)
    return pd.DataFrame(rows)


def _knob(record: Record) -> float:
    return float(record.knob_value or 0.0)


def _draw(curves: pd.DataFrame, page: Page) -> Figure:
    labels = list(curves.label.unique())
    columns = min(len(labels), page.columns)
    rows = math.ceil(len(labels) / columns)
    figure = Figure(figsize=(page.many, page.row * rows + 1.2), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for label, panel in zip(labels, panels, strict=False):
        _draw_method(panel, curves[curves.label == label], page)
    for panel in panels[len(labels) :]:
        panel.set_axis_off()
    for panel in panels[max(0, len(labels) - columns) : len(labels)]:
        panel.tick_params(labelbottom=True)
    figure.supxlabel("threshold ξ", fontsize=page.font)
    figure.supylabel("hidden channels below ξ (%)", fontsize=page.font)
    colors = ScalarMappable(Normalize(0, 1), COLORMAP)
    bar = figure.colorbar(colors, ax=list(panels), location="top", shrink=0.5, aspect=40)
    bar.set_ticks([0, 1], labels=["smallest knob", "largest knob"], fontsize=page.small)
    if page.print:
        bar.set_label(f"lines: mean over {_seeds(curves)} seeds; bands: smallest to largest", fontsize=page.small)
    return figure


def _draw_method(panel: Axes, curves: pd.DataFrame, page: Page) -> None:
    knobs = np.unique(curves.knob)
    for _, curve in curves.groupby("hyperparameters", sort=False):
        color = COLORMAP(np.searchsorted(knobs, curve.knob.iloc[0]) / max(1, len(knobs) - 1))
        panel.fill_between(curve.threshold, curve.low, curve.high, color=color, alpha=0.15, lw=0)
        panel.plot(curve.threshold, curve["mean"], color=color, lw=0.7 * page.line)
    title = textwrap.fill(curves.title.iloc[0], page.wrap)
    if len(knobs) > 1:
        title += f"\n{curves.knob_name.iloc[0]} {knobs[0]:.2g} to {knobs[-1]:.2g}"
    panel.set_title(plain(title), fontsize=page.small, pad=2)
    panel.set(xscale="log", xlim=(curves.threshold.min(), curves.threshold.max()), ylim=(-2, 102))
    panel.set_xticks([1e-12, 1e-6, 1], minor=False)
    panel.set_xticks([], minor=True)
    panel.tick_params(labelsize=page.small)


def caption(curves: pd.DataFrame, hidden: list[str]) -> str:
    """What a figure of these curves shows, with n, how its bands are made and which methods have no panel."""
    text = (
        "Hidden channels with ‖w‖₂ < ξ after training, before the method silences any. Lines: one setting each, mean "
        f"over {_seeds(curves)} seeds, bands from the smallest to the largest; coloured by the knob's rank among the "
        "method's."
    )
    return text + (f" Not shown, no channel below {NEAR:g}: {', '.join(hidden)}." if hidden else "")


def _seeds(curves: pd.DataFrame) -> str:
    fewest, most = curves.n.min(), curves.n.max()
    return f"n = {most}" if fewest == most else f"n = {fewest} to {most}"

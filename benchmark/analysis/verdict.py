"""The verdict across studies and tasks: what each method reaches, and which of them are not shown to be worse.

Pure functions of `gather`'s frame. A place is a task of a study: two studies of one task are two places. Nothing is
averaged over places, and no ranks are.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.frame import CONTROL, CONTROLS, SCRATCH, controls, ranked
from benchmark.analysis.intervals import LEAST, LEVEL, Interval, spread
from benchmark.analysis.pairs import DIGITS, at_sparsity, holm, paired_t, resolution
from benchmark.analysis.summary import MARK, NEEDED, NOTHING, floor, marked, seed_hypervolume, seed_within
from benchmark.experiment.record import MEASURED

REMOVED = (0.75, 0.9)  # shares of the parameters at which methods are compared
POINTS = 0.01  # of accuracy below dense that a third comparison allows
ACCURACY = {least: f"at {100 * least:g} %" for least in REMOVED}  # the columns of scores by what they are at
WITHIN, VOLUME = "within 1", "hypervolume"
PLACE = ["task", "label", "method"]


def gather(studies: Mapping[str, pd.DataFrame], titles: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """The frames of studies, by name, as one: `task` is the place's title, `of` the task's name.

    `titles` gives the places' titles by study and task. A label that an earlier study calls otherwise gets its title
    beside it: the two are no one method, but for controls.
    """
    parts = []
    called: dict[str, str] = {}
    for name, frame in studies.items():
        places = frame.task.map({task: titles[name, task] for task in frame.task.unique()})
        own = dict(zip(frame.label, frame.title, strict=True))
        other = {x: f"{x}: {title}" for x, title in own.items() if called.setdefault(x, title) != title}
        labels = frame.label.replace({x: name for x, name in other.items() if x not in CONTROLS})
        parts.append(marked(frame[["key", *NEEDED]]).assign(of=frame.task, task=places, label=labels))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["key", *NEEDED, "of"])


def seed_scores(records: pd.DataFrame) -> pd.DataFrame:
    """What every method but dense reaches on every place with every seed; one row each, in the records' order.

    Columns: task, label, method, seed; `ACCURACY`, the test accuracy of the point that validates best among those with
    so many parameters removed (NaN: none); `WITHIN`, the largest share removed by a point that validates at most
    POINTS below dense; `VOLUME`, the hypervolume above the floor; dense, the test accuracy of dense with that seed.
    """
    chosen = at_sparsity(records)
    index = [*PLACE, "seed"]
    made = chosen[index].drop_duplicates().set_index(index)
    for least, column in ACCURACY.items():
        made[column] = chosen[np.isclose(chosen.sparsity, least)].set_index(index).test_accuracy
    extra = [row for _, group in records.groupby("task", sort=False) for row in _against_dense(group)]
    made = made.join(pd.DataFrame(extra, columns=[*index, WITHIN, VOLUME, CONTROL]).set_index(index))
    return made.reset_index()


def names(scores: pd.DataFrame) -> dict[str, str]:
    """By label what a method is called over all places: handicapped where it is so on each."""
    found: dict[str, str] = {}
    for label, title in zip(scores.label, scores.method, strict=True):
        found[label] = title if found.get(label, title) == title else title.removesuffix(MARK)
    return found


def _against_dense(records: pd.DataFrame) -> list[tuple[Hashable, ...]]:
    """What needs the dense control of one place; NaN without it."""
    dense = controls(records)
    rows: list[tuple[Hashable, ...]] = []
    least, bottom = dense.val_accuracy.mean() - POINTS, floor(records)
    accuracy = dict(zip(dense.seed, dense.test_accuracy, strict=True))
    own = ranked(records[records.label != CONTROL])
    for (task, label, title, seed), group in own.groupby(["task", "label", "title", "seed"], sort=False):
        results = group[group.status.isin(MEASURED)]
        within, volume = np.nan, np.nan
        if len(dense):
            within, volume = seed_within(results, least)[0], seed_hypervolume(results, bottom)
        rows.append((task, label, title, seed, within, volume, accuracy.get(seed, np.nan)))
    return rows


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per place and method: `ACCURACY` with the gaps to scratch and to dense, paired by seed, and the others."""
    rows = []
    for task, place in scores.groupby("task", sort=False):
        scratch = place[place.label == SCRATCH].set_index("seed")
        for (label, method), own in place.groupby(["label", "method"], sort=False):
            seeds = own.set_index("seed")
            row: dict[str, object] = {"task": task, "label": label, "method": method, "seeds": place.seed.nunique()}
            for column in ACCURACY.values():
                row[column] = spread(seeds[column])
                compared = label != SCRATCH and len(scratch)
                row[f"{column}, to scratch"] = _gap(seeds[column], scratch[column]) if compared else NOTHING
                row[f"{column}, to dense"] = _gap(seeds[column], seeds[CONTROL])
            row |= {column: spread(seeds[column]) for column in (WITHIN, VOLUME)}
            rows.append(row)
    return pd.DataFrame(rows)


def _gap(own: pd.Series, other: pd.Series) -> Interval:
    return spread((own - other).dropna().round(DIGITS).to_numpy(), least=-1.0)


def with_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of the places that have LEAST seeds or more."""
    return scores[scores.groupby("task").seed.transform("nunique") >= LEAST]


@dataclass(frozen=True)
class Leaders:
    """The methods of one place by what one score shows of them; titles, in order of their means.

    `best` has the highest mean of those that have a score with every seed. `even` are not shown to be worse by paired
    t tests with Holm's correction, `worse` are, `short` lack a score with some seed. `gap` is best − scratch.
    """

    best: str
    level: Interval
    even: list[str]
    worse: list[str]
    short: list[str]
    gap: Interval


def leaders(place: pd.DataFrame, column: str) -> Leaders | None:
    """Who leads one place by a column of its scores.

    None with fewer than LEAST seeds, and where no method has a score with every seed.
    """
    wide = place.pivot(index="seed", columns="label", values=column)
    titles = dict(zip(place.label, place.method, strict=True))
    whole = wide.columns[wide.notna().all()]
    if len(wide) < LEAST or not len(whole):
        return None
    order = wide[whole].mean().round(DIGITS).sort_values(ascending=False, kind="stable").index
    best, others = order[0], list(order[1:])
    step = resolution(wide.to_numpy())
    differences: dict[str, NDArray[np.float64]] = {
        label: (wide[best] - wide[label]).round(DIGITS).to_numpy() for label in others
    }
    p = dict(zip(others, holm([paired_t(found, step) for found in differences.values()]), strict=True))
    return Leaders(
        best=titles[best],
        level=spread(wide[best]),
        even=[titles[label] for label in others if p[label] >= LEVEL],
        worse=[titles[label] for label in others if p[label] < LEVEL],
        short=[titles[label] for label in wide.columns if label not in whole],
        gap=spread(differences[SCRATCH], least=-1.0) if SCRATCH in differences else NOTHING,
    )

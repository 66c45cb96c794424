"""The tables of `analysis.pairs` as texts, for Markdown and HTML alike, each with the note that belongs under it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.analysis.frame import CONTROL, SPARSITY
from benchmark.analysis.intervals import ALL, DRAWN, LEAST, RULE, Interval, shown, spread
from benchmark.analysis.pairs import at_sparsity, compare_methods, hypervolumes
from benchmark.experiment.record import MEASURED
from benchmark.site.parts import Section, Source, Table, csv

METHOD = ("task", "label", "title")
CHOICE = (SPARSITY, "val_accuracy", "test_accuracy", "knob", "hyperparameters")  # a point is chosen by and shown at

NOT_REACHED = "not reached"


def hypervolume_texts(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The cells of `pairs.hypervolumes`, and the note."""
    interval = [_range(low, high, 3) for low, high in zip(table.low, table.high, strict=True)]
    cells = {
        "method": table.method,
        "hypervolume": table.hypervolume.map("{:.3f}".format),
        "95 % bootstrap interval": interval,
        "seeds": table.n.map(str),
        "task": table.task,
    }
    few = [f"{n}: {100 * (1 - 2 / 2**n):.0f} %" for n in sorted(set(table.n)) if n > 1]
    floors = [f"{task}: {100 * least:.1f} %" for task, least in table.groupby("task", sort=False).floor.first().items()]
    note = (
        "hypervolume: share of the rectangle from sparsity 0 to 1 and from a floor, dense's test accuracy − 2 points "
        f"({'; '.join(floors)}), to 1 that lies under the front, which each seed chooses on validation; mean over "
        f"seeds. Interval: percentiles of the mean over seeds resampled whole, all nⁿ resamples up to {ALL} seeds, "
        f"{DRAWN} drawn ones beyond. It cannot leave the range of the seeds, and that range holds the true median with "
        "probability 1 − 2/2ⁿ only" + (f" (by seeds: {', '.join(few)})." if few else ".")
    )
    return pd.DataFrame(cells, dtype=str), note


def sparsity_texts(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The cells of `pairs.at_sparsity`, one row per task and method, and the note."""
    rows = []
    for (task, _, method), group in table.groupby(["task", "label", "method"], sort=False):
        row = {"method": method}
        for least, block in group.groupby("sparsity"):
            found = spread(block.test_accuracy)
            row[f"≥ {100 * least:g} % removed"] = shown(found, len(block)) if found.n else NOT_REACHED
        rows.append({**row, "task": task})
    note = (
        "Test accuracy (%) of the point that validates best among those of a seed with at least so many parameters "
        f"removed; nothing is interpolated. {NOT_REACHED}: by no seed. {RULE}"
    )
    return pd.DataFrame(rows, dtype=str), note


def comparison_texts(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The cells of `pairs.compare_methods`, and the note, which says what so few pairs cannot show."""
    parts = zip(table.difference, table.low, table.high, table.n, table.ends == Interval(0, 0, 0, 0).ends, strict=True)
    differences = [Interval(*part) for part in parts]
    cells = {
        "method": table.method,
        "difference": [shown(d, sign="+", digits=2) if d.n else NOT_REACHED for d in differences],
        "against": table.reference,
        "removed": table.sparsity.map(lambda s: f"≥ {100 * s:g} %"),
        "pairs": [f"{n} of {slots}" for n, slots in zip(table.n, table.slots, strict=True)],
        "d_z": table.effect.map(lambda d: "–" if np.isnan(d) else f"{d:+.2f}"),
        "p": table.p.map(_p),
        "p (Holm)": table.p_holm.map(_p),
        "p (sign flip)": table.p_flip.map(_p),
    }
    return pd.DataFrame(cells, dtype=str), _comparison_note(table)


def _comparison_note(table: pd.DataFrame) -> str:
    tests = int(table.p.notna().sum())
    note = (
        "difference: test accuracy of the method minus that of the one it is set against, in points, mean over the "
        "pairs (task, seed) in which both reach the sparsity. d_z: Cohen's, the mean of the differences over their "
        f"standard deviation. p: two-sided paired t test, not tested below {LEAST} pairs. p (sign flip): exact up to "
        "13 pairs and of no assumption about how differences are distributed, but not below 2/2ⁿ for n pairs, and not "
        "corrected. "
    )
    if not tests:
        return note + f"No comparison has {LEAST} pairs: nothing is tested."
    return note + f"Holm's correction of p is over the {tests} tests of this table."


def _p(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _range(low: float, high: float, digits: int) -> str:
    return "–" if np.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def comparisons(source: Source) -> Section | None:
    """What so many seeds support: hypervolumes, accuracy at equal sparsity, and methods in pairs."""
    records = source.frame[[*METHOD, "seed", "status", "key", *CHOICE]]
    if not records.status[records.label != CONTROL].isin(MEASURED).any():
        return None
    chosen = at_sparsity(records)
    found = {"at_sparsity": chosen, "comparisons": compare_methods(chosen), "hypervolumes": hypervolumes(records)}
    texts = {
        "at_sparsity": (sparsity_texts, "Test accuracy at equal sparsity"),
        "comparisons": (
            comparison_texts,
            "Each method against scratch and against the subject, in pairs of equal seed",
        ),
        "hypervolumes": (hypervolume_texts, "Hypervolume above the floor"),
    }
    made = {name: (*texts[name][0](frame), texts[name][1]) for name, frame in found.items() if len(frame)}
    return Section(
        "comparisons",
        "Comparisons",
        tuple(note for _, note, _ in made.values()),
        tables=tuple(Table(cells, caption, name, head="method") for name, (cells, _, caption) in made.items()),
        files={f"data/{name}.csv": csv(found[name]) for name in made},
    )

"""The tables of `analysis.pairs` as texts, for Markdown and HTML alike, each with the note that belongs under it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.analysis.frame import CONTROL, SPARSITY
from benchmark.analysis.intervals import ALL, DRAWN, LEVEL, mean_interval
from benchmark.analysis.pairs import REFERENCE, at_sparsity, compare_methods, hypervolumes, pairs_needed
from benchmark.experiment.record import MEASURED
from benchmark.site.parts import Section, Source, Table, csv

METHOD = ("task", "label", "title")
CHOICE = (SPARSITY, "val_accuracy", "test_accuracy")  # what a point is chosen by and shown at

NOT_REACHED = "not reached"


def hypervolume_texts(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The cells of `pairs.hypervolumes`, and the note."""
    interval = [_range(low, high, 3) for low, high in zip(table.low, table.high, strict=True)]
    cells = {
        "task": table.task,
        "method": table.method,
        "seeds": table.n.map(str),
        "hypervolume": table.hypervolume.map("{:.3f}".format),
        "95 % bootstrap interval": interval,
    }
    few = [f"{n}: {100 * (1 - 2 / 2**n):.0f} %" for n in sorted(set(table.n)) if n > 1]
    note = (
        "hypervolume: share of the sparsity × test accuracy square under the front, which each seed chooses on "
        "validation; mean over seeds. Interval: percentiles of the mean over seeds resampled whole, "
        f"all nⁿ resamples up to {ALL} seeds, {DRAWN} drawn ones beyond. It cannot leave the range of the seeds, and "
        "that range holds the true median with probability 1 − 2/2ⁿ only"
        + (f" (by seeds: {', '.join(few)})." if few else ".")
    )
    return pd.DataFrame(cells, dtype=str), note


def sparsity_texts(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The cells of `pairs.at_sparsity`, one row per task and method, and the note."""
    rows = []
    for (task, _, method), group in table.groupby(["task", "label", "method"], sort=False):
        row = {"task": task, "method": method}
        for least, block in group.groupby("sparsity"):
            row[f"≥ {100 * least:g} % removed"] = _accuracy(block.test_accuracy)
        rows.append(row)
    note = (
        "Test accuracy (%) of the point that validates best among those of a seed with at least so many parameters "
        "removed; nothing is interpolated. Mean ± half of the 95 % t interval over the seeds that reach it (their "
        f"number of all); {NOT_REACHED}: by no seed."
    )
    return pd.DataFrame(rows, dtype=str), note


def _accuracy(values: pd.Series) -> str:
    found = mean_interval(100 * values)
    if not found.n:
        return NOT_REACHED
    spread = f" ± {found.high - found.mean:.1f}" if found.n > 1 else ""
    return f"{found.mean:.1f}{spread} ({found.n} of {len(values)})"


def comparison_texts(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The cells of `pairs.compare_methods`, and the note, which says what so few pairs cannot show."""
    cells = {
        "removed": table.sparsity.map(lambda s: f"≥ {100 * s:g} %"),
        "method": table.method,
        "pairs": [f"{n} of {slots}" for n, slots in zip(table.n, table.slots, strict=True)],
        "difference": table.difference.map(lambda d: NOT_REACHED if np.isnan(d) else f"{100 * d:+.1f}"),
        "95 % t interval": [_range(100 * a, 100 * b, 1, "+") for a, b in zip(table.low, table.high, strict=True)],
        "d_z": table.effect.map(lambda d: "–" if np.isnan(d) else f"{d:+.2f}"),
        "p": table.p.map(_p),
        "p (Holm)": table.p_holm.map(_p),
        "smallest p possible": table.smallest_p.map(_p),
    }
    return pd.DataFrame(cells, dtype=str), _comparison_note(table)


def _comparison_note(table: pd.DataFrame) -> str:
    tests = int(table.p.notna().sum())
    reference = f" minus {table.reference.iloc[0]}" if len(table) else ""
    note = (
        f"difference: test accuracy{reference}, in points, mean over the pairs (task, seed) in which both methods "
        "reach the sparsity. d_z: Cohen's, the mean of the differences over their standard deviation. p: two-sided "
        f"sign-flip test, exact up to 13 pairs, not tested below 2; Holm's correction is over the {tests} tests of "
        "this table. "
    )
    if not tests:
        return note + "No comparison has two pairs: nothing is tested."
    best = table.smallest_p.min()
    note += f"n pairs cannot give a p below 2/2ⁿ, the best case here being {_p(best)}"
    if best > LEVEL:
        return note + (
            f": no comparison in this table can be significant at {LEVEL}, whatever the methods do; that takes "
            f"{pairs_needed(1)} pairs for one test, {pairs_needed(tests)} for {tests}. The t interval may exclude 0 "
            "all the same: it takes the differences to be normal, which so few cannot show."
        )
    if best * tests > LEVEL:
        return note + (
            f", and after the correction for {tests} tests {_p(min(1.0, best * tests))}: no comparison in this table "
            f"can be significant at {LEVEL} after it; {pairs_needed(tests)} pairs would do."
        )
    return note + "."


def _p(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _range(low: float, high: float, digits: int, sign: str = "") -> str:
    return "–" if np.isnan(low) else f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"


def comparisons(source: Source) -> Section | None:
    """What so many seeds support: hypervolumes, accuracy at equal sparsity, and methods in pairs."""
    rivals = source.frame.loc[source.frame.label != CONTROL, [*METHOD, "seed", "status", "key", *CHOICE]]
    if not rivals.status.isin(MEASURED).any():
        return None
    chosen = at_sparsity(rivals)
    found = {"hypervolumes": hypervolumes(rivals), "at_sparsity": chosen}
    shown = {"hypervolumes": hypervolume_texts(found["hypervolumes"]), "at_sparsity": sparsity_texts(chosen)}
    captions = {"hypervolumes": "Hypervolume", "at_sparsity": "Test accuracy at equal sparsity"}
    if REFERENCE in set(rivals.label):
        found["comparisons"] = compare_methods(chosen)
        shown["comparisons"] = comparison_texts(found["comparisons"])
        captions["comparisons"] = "Each method against the reference, in pairs of equal task and seed"
    return Section(
        "comparisons",
        "Comparisons",
        tuple(note for _, note in shown.values()),
        tables=tuple(Table(cells, captions[name], name, head="method") for name, (cells, _) in shown.items()),
        files={f"data/{name}.csv": csv(frame) for name, frame in found.items()},
    )

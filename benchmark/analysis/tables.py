"""Records as a data frame, and the summary of a study as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmark.analysis.pareto import Interval, hypervolume, largest_drop, mean_interval, on_front
from benchmark.experiment.record import Record
from benchmark.files import write_whole

CONTROL = "dense"
TOLERANCES = (0.5, 1.0, 2.0)  # accuracy points below the dense control
SPARSITY = "param_sparsity"
MEASURED = ("ok", "collapsed")
TEXTS = (
    "key", "task", "label", "title", "status", "seed", "knob_name", "hyperparameters", "channels_left", "error",
)  # fmt: skip
NEEDED = (
    "task", "label", "title", "status", "seed", "knob_name", "knob", "hyperparameters", "val_accuracy", "test_accuracy",
    SPARSITY, "seconds",
)  # fmt: skip
NOTHING = Interval(np.nan, np.nan, np.nan, 0)
NOTE = (
    "All but hypervolume and cost in %. best accuracy: on test, of the point that validates best. within d: the "
    "largest share of parameters removed by a point that validates at most d points below dense, 0 if none does. "
    "hypervolume: share of the sparsity × test accuracy square under the front, 0 for a seed without a result. largest "
    "drop: test accuracy lost from one knob point to the next. cost: median training time over dense's. ± is the 95 % "
    "t interval over seeds, (n) their number where it is not all."
)


def frame(records: list[Record], titles: Mapping[str, str]) -> pd.DataFrame:
    """One row per record; what a failed trial did not reach is NaN. `titles` says what to call each label, in order.

    Rows are sorted, so that what is made of them does not depend on the order in which trials ended.
    """
    order = {label: place for place, label in enumerate(titles)}
    rows = []
    for r in sorted(records, key=lambda r: (r.task.name, order[r.label], r.seed, _knob(r), r.key)):
        hyperparameters = r.setting.hyperparameters
        rows.append(
            {
                "key": r.key,
                "task": r.task.name,
                "label": r.label,
                "title": titles[r.label],
                "status": r.status,
                "seed": r.seed,
                "knob_name": r.knob or "",
                "knob": hyperparameters.get(r.knob) if r.knob else None,
                "hyperparameters": json.dumps(hyperparameters, sort_keys=True),
                "val_accuracy": r.val_accuracy,
                "test_accuracy": r.test_accuracy,
                "param_sparsity": r.param_sparsity,
                "mac_sparsity": r.mac_sparsity,
                "channel_sparsity": r.channel_sparsity,
                "weight_sparsity": r.weight_sparsity,
                "latency_saved": 1 - r.latency["reduced"] / r.latency["dense"] if r.latency else None,
                "params": r.params,
                "macs": r.macs,
                "channels_left": json.dumps(r.channels_left),
                "never_active": r.never_active,
                "removal_error": r.removal_error,
                "seconds": _seconds(r),
                "error": r.error or "",
            }
        )
    made = pd.DataFrame(rows)
    return made.astype({column: float for column in made if column not in TEXTS})


def _knob(record: Record) -> float:
    return record.setting.hyperparameters[record.knob] if record.knob else 0.0


def _seconds(record: Record) -> float | None:
    if record.status not in MEASURED:
        return None
    return record.train_seconds + (record.base_seconds or 0.0)


def controls(records: pd.DataFrame) -> pd.DataFrame:
    """The dense control of every task and seed: where it was tuned, the sample that validates best."""
    dense = records[(records.label == CONTROL) & records.status.isin(MEASURED)]
    return dense.loc[dense.groupby(["task", "seed"]).val_accuracy.idxmax()]


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """One row per task and method: what it reaches, with 95 % t intervals over seeds.

    Each seed is a whole replicate: its points are chosen by its own validation accuracy, and shown at test.
    """
    rows = []
    records = records[[*NEEDED]]
    dense_of = {task: controls(group) for task, group in records.groupby("task", sort=False)}
    seeds_of = records.groupby("task").seed.nunique()
    for (task, label), group in records.groupby(["task", "label"], sort=False):
        names = {"task": task, "method": group.title.iloc[0], "seeds": seeds_of[task]}
        rows.append({**names, **_row(group, dense_of[task], is_control=label == CONTROL)})
    return pd.DataFrame(rows)


def _row(group: pd.DataFrame, dense: pd.DataFrame, is_control: bool) -> dict:
    measured = group[group.status.isin(MEASURED)]
    tried = [seed for _, seed in group.groupby("seed")]
    seeds = [seed[seed.status.isin(MEASURED)] for seed in tried]
    row = {"trials": len(group), "failed": len(group) - len(measured)}
    row["collapsed"] = int((group.status == "collapsed").sum())
    row["best accuracy"] = mean_interval([_best(seed) for seed in seeds if len(seed)])
    for points in TOLERANCES:
        row[f"within {points:g}"] = NOTHING
        if len(dense) and not is_control:
            least = dense.val_accuracy.mean() - points / 100
            row[f"within {points:g}"] = mean_interval([_within(seed, least) for seed in seeds])
    row["hypervolume"] = NOTHING if is_control else mean_interval([seed_hypervolume(seed) for seed in seeds])
    row["largest drop"] = NOTHING if is_control else mean_interval([_drop(seed) for seed in tried])
    row["cost"] = measured.seconds.median() / dense.seconds.median() if len(dense) else np.nan
    return row


def _best(seed: pd.DataFrame) -> float:
    """The test accuracy of the point that validates best, the smaller network where several do."""
    return seed.sort_values(["val_accuracy", SPARSITY], ascending=False, kind="stable").test_accuracy.iloc[0]


def _within(seed: pd.DataFrame, least: float) -> float:
    """The largest sparsity of a point that validates at `least` or better; 0 if none does, for dense is one."""
    return max([0.0, *seed[SPARSITY][seed.val_accuracy >= least - 1e-12]])


def _drop(seed: pd.DataFrame) -> float:
    """The largest drop along the knob; NaN where other hyperparameters change with it or a point has no result."""
    name = seed.knob_name.iloc[0]
    others = {json.dumps({**json.loads(text), name: None}) for text in set(seed.hyperparameters)}
    return largest_drop(seed.knob, seed.test_accuracy) if len(others) == 1 else np.nan


def seed_hypervolume(seed: pd.DataFrame) -> float:
    """The hypervolume of the front that a seed's results choose on validation, at test; 0 without a result."""
    front = seed[on_front(seed[SPARSITY], seed.val_accuracy)]
    return hypervolume(front[SPARSITY], front.test_accuracy, floor=0.0)


def flatten(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary with a column each for an interval's mean, ends and n."""
    flat = {}
    for name, column in summary.items():
        if isinstance(column.iloc[0], Interval):
            for part in ("mean", "low", "high", "n"):
                flat[f"{name} {part}"] = column.map(lambda interval, part=part: getattr(interval, part))
        else:
            flat[name] = column
    return pd.DataFrame(flat)


def write(summary: pd.DataFrame, folder: Path, note: str = NOTE) -> list[Path]:
    """Writes a summary as table.md, with the note below it, and as table.csv; returns their paths."""
    markdown, csv = folder / "table.md", folder / "table.csv"
    write_whole(markdown, (to_markdown(summary) + "\n" + note + "\n").encode())
    write_whole(csv, flatten(summary).to_csv(index=False, lineterminator="\n").encode())
    return [markdown, csv]


def to_markdown(summary: pd.DataFrame) -> str:
    """The summary as a table in Markdown."""
    shown = texts(summary)
    header = f"| {' | '.join(shown.columns)} |\n|{' --- |' * len(shown.columns)}\n"
    return header + "".join(f"| {' | '.join(row)} |\n" for row in shown.itertuples(index=False))


def texts(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary's cells as they are shown."""
    seeds = summary.seeds if "seeds" in summary else [0] * len(summary)
    cells = {
        name: [_text(name, value, count) for value, count in zip(column, seeds, strict=True)]
        for name, column in summary.items()
    }
    return pd.DataFrame(cells, index=summary.index, dtype=object)


def show(summary: pd.DataFrame, console: Console, note: str = NOTE) -> None:
    """Prints a summary, one table for each value of its first column, and the note."""
    for title, rows in summary.groupby(summary.columns[0], sort=False):
        shown = texts(rows).drop(columns=summary.columns[0])
        table = Table(title=title, box=None)
        for place, name in enumerate(shown):
            table.add_column(name, justify="right" if place else "left", overflow="fold")
        for row in shown.itertuples(index=False):
            table.add_row(*row)
        console.print(table)
    console.print(note, style="dim")


def _text(name: str, value: object, seeds: int) -> str:
    """A cell; an interval over fewer than all `seeds` says over how many."""
    if isinstance(value, Interval):
        if np.isnan(value.mean):
            return "–"
        factor, digits = (1, 3) if name == "hypervolume" else (100, 1)
        spread = "" if value.n < 2 else f" ± {factor * (value.high - value.mean):.{digits}f}"
        count = f" ({value.n})" if value.n < seeds else ""
        return f"{factor * value.mean:.{digits}f}{spread}{count}"
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.2f}"
    return str(value)

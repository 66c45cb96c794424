"""The table of a conditions study: what each level of each factor does to accuracy and sparsity."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pandas as pd

from benchmark.analysis.intervals import RULE, Interval, spread
from benchmark.experiment.conditions import CONTROL
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study

Levels = dict[tuple[str, str], list[Record]]  # by factor and level
Row = dict[str, str | int | Interval]
THRESHOLDS = ("1e-15", "1e-08", "1e-04", "1e-02", "1e-01")  # ξ, as records write it
NEAR_ZERO = THRESHOLDS[0]
NOTE = (
    "All in %. test accuracy: of the network after removal. never active: share of the hidden channels whose "
    "activation function no training image gives a positive input, whatever their weights; only a rectifier passes no "
    "gradient there. It is the finding; how far below ξ the weights of such a channel then fall is arithmetic of the "
    "optimiser's steps. removed: share of the channels that is gone, by the method's own ξ; parameters removed: of all "
    f"parameters. ‖w‖ < ξ: share of channels whose incoming weights have a norm below ξ after training. {RULE} failed: "
    "trials without a result."
)


def by_level(study: Study, records: list[Record]) -> Levels:
    """The records of each level of each factor, and of each combination of the crossed factors."""
    made = defaultdict(list)
    for record in sorted(records, key=lambda r: r.seed):
        made[record.label].append(record)
    conditions = study.conditions
    assert conditions is not None, "only a conditions study has levels"
    levels = {(f, level): made[conditions.label(**{f: level})] for f, of in conditions.factors.items() for level in of}
    if conditions.crossed:
        name = " × ".join(conditions.crossed)
        for pair in itertools.product(*(conditions.factors[factor] for factor in conditions.crossed)):
            label = conditions.label(**dict(zip(conditions.crossed, pair, strict=True)))
            levels[name, ", ".join(pair)] = made[label]
    return levels


def measured(records: list[Record]) -> list[Record]:
    """Those that have a result."""
    return [r for r in records if r.measured]


def short_keys(records: list[Record]) -> str:
    """The records by as many digits of their keys as a page shows."""
    return " ".join(r.key[:12] for r in records)


def summarise(study: Study, records: list[Record]) -> pd.DataFrame:
    """One row per control, then one per level of each factor; combinations of two factors come last."""
    levels = by_level(study, records).items()
    return pd.DataFrame([*_controls(study, records), *(_row(factor, level, own) for (factor, level), own in levels)])


def by_factor(study: Study, records: list[Record]) -> dict[str, pd.DataFrame]:
    """The rows of `summarise`, a table per factor."""
    rows = summarise(study, records).groupby("factor", sort=False)
    return {str(factor): own.drop(columns="factor") for factor, own in rows}


def _controls(study: Study, records: list[Record]) -> list[Row]:
    """The rows of the labels beside the one whose setting is changed, such as dense."""
    assert study.conditions is not None, "only a conditions study has levels"
    labels = [label for label in study.methods if label != study.conditions.of]
    return [_row(CONTROL, study.legend(label), [r for r in records if r.label == label]) for label in labels]


def _row(factor: str, level: str, records: list[Record]) -> Row:
    own = measured(records)
    row: Row = {"factor": factor, "level": level}
    row |= {"n": len(own), "failed": len(records) - len(own)}
    row["test accuracy"] = spread([r.test_accuracy for r in own])
    row["never active"] = spread([r.never_active for r in own])
    row["removed"] = spread([r.channel_sparsity for r in own])
    row["parameters removed"] = spread([r.param_sparsity for r in own])
    for threshold in THRESHOLDS:
        row[f"‖w‖ < {threshold.replace('e-0', 'e-')}"] = spread([r.threshold_sweep.get(threshold) for r in own])
    return row

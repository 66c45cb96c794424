"""Records as a data frame, one row each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from benchmark.experiment.record import MEASURED, Record

CONTROL = "dense"
SCRATCH = "scratch"  # the line to beat
CONTROLS = (CONTROL, SCRATCH, "random_filter")
CHECKPOINT = "checkpoint"  # a control that is one point: a network as it came
SPARSITY = "param_sparsity"
STAGES = ("trained", "silenced", "reduced", "fine_tuned")  # of a record's accuracy on validation, in order
TEXTS = (
    "key",
    "task",
    "label",
    "title",
    "status",
    "seed",
    "knob_name",
    "hyperparameters",
    "channels_left",
    "error",
)


def as_frame(records: list[Record], titles: Mapping[str, str]) -> pd.DataFrame:
    """One row per record; what a failed trial did not reach is NaN. `titles` says what to call each label, in order.

    Rows are sorted, controls first, so that what is made of them does not depend on the order in which trials ended.
    """
    order = {label: place for place, label in enumerate(controls_first(titles))}
    rows = []
    for r in sorted(records, key=lambda r: (r.task.name, order[r.label], r.seed, _knob(r), _hyperparameters(r), r.key)):
        rows.append(
            {
                "key": r.key,
                "task": r.task.name,
                "label": r.label,
                "title": titles[r.label],
                "status": r.status,
                "seed": r.seed,
                "knob_name": r.knob or "",
                "knob": r.knob_value,
                "hyperparameters": _hyperparameters(r),
                "val_accuracy": r.val_accuracy,
                "test_accuracy": r.test_accuracy,
                **{f"{stage}_accuracy": r.stage_accuracy.get(stage) for stage in STAGES},
                "param_sparsity": r.param_sparsity,
                "mac_sparsity": r.mac_sparsity,
                "channel_sparsity": r.channel_sparsity,
                "weight_sparsity": r.weight_sparsity,
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


def controls_first(labels: Iterable[str]) -> list[str]:
    """The labels in the order of figures and tables: the controls, then the others as they come."""
    every = list(labels)
    return [label for label in CONTROLS if label in every] + [label for label in every if label not in CONTROLS]


def ranked(records: pd.DataFrame) -> pd.DataFrame:
    """The records with `rank`, 0 for the one that validates best; of equal ones the smaller network, then knob."""
    order = ["val_accuracy", SPARSITY, "knob", "hyperparameters"]
    ordered = records.reset_index(drop=True).sort_values(order, ascending=[False, False, True, True], kind="stable")
    return records.assign(rank=np.argsort(ordered.index.to_numpy()))


def best(records: pd.DataFrame) -> pd.Series:
    """The record of the smallest `rank`."""
    return records.iloc[int(records["rank"].to_numpy().argmin())]


def _knob(record: Record) -> float:
    return float(record.knob_value or 0.0)


def _hyperparameters(record: Record) -> str:
    return json.dumps(record.setting.hyperparameters, sort_keys=True)


def _seconds(record: Record) -> float | None:
    if not record.measured or record.train_seconds is None:
        return None
    return record.train_seconds + (record.base_seconds or 0.0)


def controls(records: pd.DataFrame) -> pd.DataFrame:
    """The dense control of every task and seed: where it was tuned, the sample that validates best."""
    dense = records[(records.label == CONTROL) & records.status.isin(MEASURED)]
    return dense.loc[dense.groupby(["task", "seed"]).val_accuracy.idxmax()]

"""What a published page keeps of a study's records, so that a hundred thousand of them fit into memory."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from benchmark.analysis.frame import as_frame
from benchmark.analysis.tuning import Score, resolved, scores, tuning_records
from benchmark.errors import UsageError
from benchmark.experiment.coverage import own_records
from benchmark.experiment.hashing import SCHEMA
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.study import Study
from benchmark.experiment.trial import MethodSetting
from benchmark.experiment.tuning import Tuning

PRINTED = 10_000  # trials of a study beyond which nothing is drawn for print: there would be too many marks
T = TypeVar("T")


@dataclass
class Digest:
    """A study with its own records, whose histories are arrays and whose histograms are in `norms`, by key.

    A study that is tuned is here as it is evaluated, with what it was tuned by and the scores of its candidates.
    """

    study: Study
    records: list[Record]
    frame: pd.DataFrame
    norms: dict[str, np.ndarray]  # lower edge (base-10 logarithm) and share of channels × bins
    strays: dict[str, int]  # records in the file that are not the study's, by why
    missing: int  # trials without a record
    tuning: Tuning | None
    scores: list[Score]
    tried: list[Record]  # of its candidates


@dataclass
class _Keeper:
    whole: bool  # whether records keep their histograms, too
    norms: dict[str, np.ndarray] = field(default_factory=dict)
    seen: dict[Hashable, Any] = field(default_factory=dict)

    def keep(self, record: Record) -> Record:
        """The record with parts that equal another record's shared with it, and its numbers as arrays."""
        self.norms[record.key] = norm_shares(record)
        shared = {
            "task": self._share(record.task, record.task),
            "protocol": self._share(record.protocol, record.protocol),
            "setting": self._share(_hashable(record.setting), record.setting),
            "base": self._share(_hashable(record.base), record.base),
            "provenance": self._share(repr(record.provenance), record.provenance),
        }
        history = {name: np.array(values, dtype=np.float32) for name, values in record.history.items()}
        sweep = {sys.intern(threshold): share for threshold, share in record.threshold_sweep.items()}
        counts = record.norm_histogram if self.whole else {}
        own = {"history": history, "threshold_sweep": sweep, "norm_histogram": counts}
        return record.model_copy(update={**shared, **own})

    def _share(self, name: Hashable, part: T) -> T:
        return self.seen.setdefault(name, part)


def _hashable(setting: MethodSetting | None) -> Hashable:
    return setting and (setting.method, setting.version, *setting.hyperparameters.items())


def read(plan: Study, store: Store) -> Digest:
    """The digest of a study's records.

    Raises UsageError where there are none, where a line is not a record, or where the study's tuning is unfinished.
    """
    keeper = _Keeper(whole=plan.conditions is not None)
    gc.disable()  # nothing that is read is garbage, and looking for some takes a quarter of the time, now and later
    try:
        every = store.collect(keeper.keep)
    finally:
        gc.freeze()
        gc.enable()
    current = [r for r in every if r.schema_version == SCHEMA]
    study = resolved(plan, current)
    records = own_records(study, current)
    tried = tuning_records(plan, current)
    own = {r.key for r in (*records, *tried)}
    strays = Counter(
        f"of schema {r.schema_version}, not {SCHEMA}" if r.schema_version != SCHEMA else "of trials not in the study"
        for r in every
        if r.key not in own or r.schema_version != SCHEMA
    )
    if not records:
        others = "".join(f"; {count} records {why}" for why, count in sorted(strays.items()))
        raise UsageError(
            f"study {study.name!r} has no records in {store.path}{others}; `deadweight run {study.name}` makes them"
        )
    frame = as_frame(records, {label: study.legend(label) for label in study.tables})
    place = {key: i for i, key in enumerate(frame.key)}  # as the frame, whatever order they came in
    records.sort(key=lambda record: place[record.key])
    missing = study.size - len(records)
    tuned = plan.tuning, scores(plan, current)
    return Digest(study, records, frame, keeper.norms, dict(sorted(strays.items())), missing, *tuned, tried)


def norm_shares(record: Record) -> np.ndarray:
    """The histogram of ‖w_k‖₂ after training as lower edges (log10, −∞ for zeros) and shares of channels, 2 × bins.

    Quarters of a decade where the record has them, else the decades of its threshold sweep, the first from −∞.
    """
    if record.norm_histogram:
        edges, counts = zip(*sorted((float(k), v) for k, v in record.norm_histogram.items()), strict=True)
        return np.array([edges, np.array(counts) / sum(counts)], dtype=np.float32)
    if record.threshold_sweep:
        powers, below = zip(
            *sorted((round(np.log10(float(k))), v) for k, v in record.threshold_sweep.items()), strict=True
        )
        return np.array([[-np.inf, *powers], np.diff([0.0, *below, 1.0])], dtype=np.float32)
    return np.empty((2, 0), dtype=np.float32)

"""Whether a record that was made again is the same one, within what other processors may change, or apart."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from benchmark.analysis.changes import MEASURES, Pair, step
from benchmark.experiment.record import Record

LEVEL = 0.001  # how often a measure of an agreeing rerun may lie beyond its tolerance
NOTE = (
    "Tolerance: processors round sums in other orders, and training makes of the last digit another network, at worst "
    "one as different as another seed's. So a rerun may differ from its record by as much as two seeds of its method "
    f"do in all but {100 * LEVEL:g} % of cases: t · √2 · the standard deviation over seeds, pooled over the method's "
    "knob points on its task, or one step of the measure if that is more. On one machine with one version of "
    "everything a rerun is the same in every number."
)


@dataclass(frozen=True)
class Rerun:
    """A record and the one made again, with the tolerance of each measure; NaN where no point has two seeds."""

    pair: Pair
    tolerance: dict[str, float]

    @property
    def verdict(self) -> Literal["same", "within", "apart"]:
        """The same in every number that a trial determines, within the tolerance in both measures, or neither."""
        if self.pair.identical:
            return "same"
        if self.pair.before.status != self.pair.after.status or not self.pair.measured:
            return "apart"
        near = all(abs(self.pair.difference(name)) <= most for name, most in self.tolerance.items())
        return "within" if near else "apart"


def judge(before: Record, after: Record, records: list[Record]) -> Rerun:
    """A rerun and its tolerance by the study's `records`, of which `before` is one."""
    own = [r for r in records if r.measured and (r.task, r.label) == (before.task, before.label)]
    return Rerun(Pair(before, after), {name: tolerance(own, name) for name in MEASURES})


def tolerance(records: list[Record], measure: str) -> float:
    """How far two seeds of one method on one task may lie apart in a measure at one of its knob points, by `LEVEL`.

    At least as far as the measure's smallest step; NaN where no point has two seeds.
    """
    points = defaultdict(list)
    for record in records:
        points[str(sorted(record.setting.hyperparameters.items()))].append(getattr(record, measure))
    freedom = sum(len(values) - 1 for values in points.values())
    if not freedom:
        return np.nan
    squares = sum(float(np.var(values)) * len(values) for values in points.values())
    apart = float(stats.t.ppf(1 - LEVEL / 2, freedom) * np.sqrt(2 * squares / freedom))
    return max(apart, step(measure, records))

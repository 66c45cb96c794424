"""Which records lie on the front of their label, task and seed, while others still come in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from benchmark.analysis.pareto import on_front
from benchmark.experiment.record import Record

Group = tuple[str, str, int]


class Fronts:
    """The fronts of validation accuracy against parameters removed, chosen on validation as figures choose theirs."""

    def __init__(self, records: Iterable[Record]):
        self._points: dict[Group, dict[str, tuple[float, float]]] = defaultdict(dict)  # by key
        for record in records:
            self.add(record)

    def add(self, record: Record) -> set[str]:
        """Takes note of a record; returns the keys of its group that are on no front now, its own maybe among them."""
        points = self._points[_group(record)]
        if record.measured and record.param_sparsity is not None and record.val_accuracy is not None:
            points[record.key] = record.param_sparsity, record.val_accuracy
        return points.keys() - _front(points)

    @property
    def keys(self) -> set[str]:
        """The keys of the records on a front."""
        return {key for points in self._points.values() for key in _front(points)}


def _group(record: Record) -> Group:
    return record.label, record.task.name, record.seed


def _front(points: dict[str, tuple[float, float]]) -> set[str]:
    if not points:
        return set()
    sparsity, accuracy = zip(*points.values(), strict=True)
    return {key for key, on in zip(points, on_front(sparsity, accuracy), strict=True) if on}

"""How far a second run of a study agrees with the first, trial by trial."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from benchmark.analysis.changes import MEASURES, Pair
from benchmark.analysis.pairs import DIGITS
from benchmark.experiment.record import Record


@dataclass(frozen=True)
class Agreement:
    """The trials of both runs: with the same result, within the spread of the first run's seeds, and apart.

    Where another machine rounds otherwise, a result is as good as a new draw. A new draw lies outside n earlier ones
    with the probability 2 / (n + 1) in one measure, and at most twice that in one of the two: `by_chance` are these
    shares, added up over the trials that differ.
    """

    same: list[Pair]
    within: list[Pair]
    apart: list[Pair]
    by_chance: tuple[float, float]


def agreement(pairs: list[Pair], before: list[Record]) -> Agreement:
    """Sorts the pairs by how their second result lies to the first run's records `before`.

    Within the spread is a trial that ended alike, and whose test accuracy and share of parameters removed are neither
    lower nor higher than those of the first run's records of the same task, label and knob point over all its seeds.
    """
    seeds = defaultdict(list)
    for record in before:
        seeds[_point(record)].append(record)
    same: list[Pair] = []
    within: list[Pair] = []
    apart: list[Pair] = []
    by_chance = 0.0
    for pair in pairs:
        draws = seeds[_point(pair.before)]
        near = pair.identical or _within(pair, draws)
        (same if pair.identical else within if near else apart).append(pair)
        by_chance += 0 if pair.identical else min(1.0, 2 / (sum(record.measured for record in draws) + 1))
    return Agreement(same, within, apart, (by_chance, min(2 * by_chance, float(len(within) + len(apart)))))


def _point(record: Record) -> tuple[str, str, float | str | None]:
    return record.task.name, record.label, record.knob_value


def _within(pair: Pair, seeds: list[Record]) -> bool:
    if pair.before.status != pair.after.status or not pair.measured:
        return False
    for measure in MEASURES:
        known = [round(getattr(record, measure), DIGITS) for record in seeds if record.measured]
        if not min(known) <= round(getattr(pair.after, measure), DIGITS) <= max(known):
            return False
    return True

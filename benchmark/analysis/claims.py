"""What was claimed of Adam with L2 (Yaguchi et al. 2018), and what no paper says, judged from records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.claims_of_conditions import EFFECT, NONE, Claim, conditions
from benchmark.analysis.fairness_methods import MARKED
from benchmark.analysis.frame import CONTROLS, SCRATCH, as_frame
from benchmark.analysis.intervals import LEAST, LEVEL, shown, spread
from benchmark.analysis.pairs import DIGITS, at_sparsity, holm, paired_t, resolution, step
from benchmark.analysis.summary import drops
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study

SUBJECT = "implicit"
RELEVANT = 0.002  # accuracy; less is not claimed to be better
AGAINST_SCRATCH = (0.75, 0.9, 0.95)
AGAINST_RIVALS = (0.75, 0.9)
RULE = (
    "How a claim that one thing is better than another is judged: over the pairs of equal seed, by the paired t test "
    f"with Holm's correction for all tests of this list. It holds where p < {LEVEL} in the claimed direction; it does "
    f"not hold where p < {LEVEL} in the other, where the 95 % t interval leaves no room for {100 * RELEVANT:g} points, "
    f"or where no seed gets as far as the other does; else it is undecided, as with fewer than {LEAST} pairs. A claim "
    f"about conditions counts seeds: a condition has the effect where {100 * EFFECT:g} % of the channels or more are "
    f"dead, and none where {100 * NONE:g} % or less are; the claim holds where all seeds of all its conditions agree "
    "with it, and does not where all seeds of one contradict it."
)


@dataclass(frozen=True)
class Comparison:
    """A claim that one thing is better: the differences of pairs, positive where it is, and how many could be."""

    sentence: str
    differences: NDArray[np.float64]
    step: float
    slots: int
    reached: tuple[int, int]  # seeds that get so far: of what is claimed to be better, of the other

    @property
    def p(self) -> float:
        """Of the paired t test, not corrected; NaN with too few pairs."""
        enough = len(self.differences) >= LEAST
        return paired_t(self.differences, self.step) if enough else np.nan

    def judged(self, p_holm: float, tests: int) -> Claim:
        """What the claim comes to with its corrected p, NaN where it is not tested."""
        if not self.reached[0]:
            others = f"{self.reached[1]} of {self.slots}"
            return Claim(self.sentence, "does not hold", f"no seed gets there, of the other {others}")
        interval = spread(self.differences, least=-1.0)
        verdict = "undecided"
        if p_holm < LEVEL:
            verdict = "holds" if interval.mean > 0 else "does not hold"
        elif interval.student and interval.high < RELEVANT:
            verdict = "does not hold"
        p = "not tested" if np.isnan(p_holm) else f"p = {p_holm:.2g}, corrected for {tests} tests"
        text = shown(interval, self.slots, digits=2, sign="+")
        return Claim(self.sentence, verdict, f"{text} points, n = {interval.n} of {self.slots}, {p}")


def judge(studies: Sequence[tuple[Study, list[Record]]]) -> list[Claim]:
    """Every claim that these studies, each with its own records, can speak about; those about conditions first."""
    made = [claim for study, records in studies if study.conditions for claim in conditions(study, records)]
    found = [claim for study, records in studies if not study.conditions for claim in comparisons(study, records)]
    p_holm = holm([claim.p for claim in found])
    tests = int((~np.isnan(p_holm)).sum())
    return made + [claim.judged(p, tests) for claim, p in zip(found, p_holm, strict=True)]


def to_markdown(claims: list[Claim]) -> str:
    """The claims as a list, with the rule that they are judged by."""
    lines = [f"- {c.sentence}: **{c.verdict}** ({c.evidence})." for c in claims]
    return "\n".join([*lines, "", RULE]) + "\n"


def comparisons(study: Study, records: list[Record]) -> Iterator[Comparison]:
    """The subject against scratch and against each rival, at equal sparsity and along the knob."""
    titles = {label: study.legend(label) for label in study.tables}
    frame = as_frame(records, titles)
    ours = [label for label in titles if study.method_name(label) == SUBJECT]
    rivals = [label for label in titles if label not in ours and label not in CONTROLS]
    chosen = at_sparsity(frame)
    for label in ours if SCRATCH in titles else ():
        for sparsity in AGAINST_SCRATCH:
            sentence = f"{titles[label]} is better than a small network trained from scratch"
            yield from _at(chosen, sparsity, label, SCRATCH, f"`{study.name}`: {sentence}")
    for rival in rivals:
        same = [label for label in ours if titles[label].endswith(MARKED) == titles[rival].endswith(MARKED)]
        for label in (same or ours)[:1]:
            for sparsity in AGAINST_RIVALS:
                sentence = f"`{study.name}`: {titles[label]} is more accurate than {titles[rival]}"
                yield from _at(chosen, sparsity, label, rival, sentence)
    if ours and rivals:
        yield from _steadier(study, frame, ours[0], rivals)


def _at(chosen: pd.DataFrame, sparsity: float, label: str, other: str, sentence: str) -> Iterator[Comparison]:
    """Nothing where the other does not get so far either."""
    wide = chosen[chosen.sparsity == sparsity].pivot(index=["task", "seed"], columns="label", values="test_accuracy")
    if label not in wide or other not in wide or not wide[other].notna().any():
        return
    differences = (wide[label] - wide[other]).dropna().round(DIGITS)
    reached = int(wide[label].notna().sum()), int(wide[other].notna().sum())
    coarse = step(chosen, differences)
    yield Comparison(f"{sentence} at {100 * sparsity:g} % removed", differences.to_numpy(), coarse, len(wide), reached)


def _steadier(study: Study, frame: pd.DataFrame, label: str, rivals: list[str]) -> Iterator[Comparison]:
    """The rivals' mean largest drop minus the subject's, within the range that all share."""
    differences: list[float] = []
    steps: list[float] = []  # of the subject's own drop, which moves as accuracies do
    for _, group in frame.groupby("task", sort=False):
        found = drops(group).pivot(index="seed", columns="label", values="drop")
        known = [rival for rival in rivals if rival in found and found[rival].notna().any()]
        if label in found and known:
            differences += list((found[known].mean(axis=1) - found[label]).dropna().round(DIGITS))
            steps.append(resolution(group.test_accuracy))
    if differences:
        sentence = f"`{study.name}`: the accuracy of {study.legend(label)} falls in smaller steps along its knob"
        slots = len(study.tasks) * len(study.seeds)
        made = np.array(differences)
        yield Comparison(f"{sentence} than that of other methods", made, min(steps), slots, (len(made),) * 2)

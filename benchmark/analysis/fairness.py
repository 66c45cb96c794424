"""The rules of a fair comparison, each judged from a study and its records, with the numbers it was judged by."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmark.analysis import fairness_methods as methods
from benchmark.analysis import fairness_records as rules
from benchmark.analysis.fairness_records import NO_RESULT, Judgement, begun, point, results
from benchmark.analysis.frame import CONTROL
from benchmark.errors import some
from benchmark.experiment.coverage import unfinished
from benchmark.experiment.record import FINISHED, Record
from benchmark.experiment.study import NOT_HYPERPARAMETERS, Study
from benchmark.experiment.tuning import SHAPE, Tuning
from benchmark.method.registry import get_method

LEAST_SEEDS = 10
CODE, MACHINE = "One version of the code", "One kind of hardware"
Judge = Callable[[Study, list[Record]], Judgement]


@dataclass(frozen=True)
class Finding:
    """A rule, whether it is met (yes, no, n.a.), and what it was judged by."""

    rule: str
    met: str
    evidence: str


def check(
    study: Study, records: list[Record], tuning: Tuning | None = None, tried: Sequence[Record] = ()
) -> list[Finding]:
    """Every rule, those that are not met first, judged on the records that are shown, failed ones included.

    Of a tuned study, `study` is the one that is evaluated, `tuning` what it was tuned by, and `tried` the records of
    its candidates.
    """
    own = {methods.CHECKPOINT_RULE: methods.checkpoints} if any(task.checkpoint for task in study.tasks) else {}
    judges: dict[str, Judge] = {
        **own,
        "Controls: dense, scratch, random channels": methods.controls,
        "Tuned by one rule": partial(methods.tuned, tuning=tuning),
        "λ, learning rate, ξ and epoch chosen on validation only": partial(_validation, tuning=tuning),
        **RULES,
        CODE: partial(rules.one_code, tried=tried),
        MACHINE: partial(rules.one_machine, tried=tried),
    }
    found = []
    for rule, judge in judges.items():
        met, evidence = judge(study, records) if records else (None, "no records")
        found.append(Finding(rule, {True: "yes", False: "no", None: "n.a."}[met], evidence))
    return sorted(found, key=lambda finding: finding.met != "no")


def _seeds(study: Study, records: list[Record]) -> Judgement:
    have = defaultdict(set)
    for r in records:
        have[r.task.name, r.label].add(r.seed)
    seeds = begun(records)
    wanted = [
        place for place in dict.fromkeys((slot.task.name, slot.label) for slot in study.slots()) if seeds[place[0]]
    ]
    lacking = [
        f"{label} on {task} has no seed {', '.join(map(str, sorted(seeds[task] - have[task, label])))}"
        for task, label in wanted
        if not seeds[task] <= have[task, label]
    ]
    listed = ", ".join(map(str, sorted(set().union(*seeds.values()))))
    evidence = (
        f"{len(wanted) - len(lacking)} of {len(wanted)} pairs of task and method have seeds {listed}; "
        "initial weights and data order are drawn from the seed alone"
    )
    return not lacking, evidence + (f"; {some(lacking)}" if lacking else "")


def _epochs(study: Study, records: list[Record]) -> Judgement:
    records = [r for r in results(records) if not methods.is_checkpoint(r)]
    if not records:
        return NO_RESULT
    in_base = {r.key: r.trial.stages[0] for r in records}
    total = {r.key: in_base[r.key] + len(r.history.get("loss", ())) for r in records}
    wrong = [f"{point(r)}: {total[r.key]} epochs" for r in records if total[r.key] != study.protocol.epochs]
    protocols = study.protocols
    other = [f"{point(r)}: another protocol" for r in records if r.protocol not in protocols]
    evidence = (
        f"{len(records) - len(wrong)} of {len(records)} results took {study.protocol.epochs} epochs, counted from "
        f"their histories; {sum(epochs > 0 for epochs in in_base.values())} of them spent a part in a base network "
        "that several trials share"
    )
    return not wrong + other, evidence + (f"; {some(wrong + other)}" if wrong + other else "")


def _points(study: Study, records: list[Record]) -> Judgement:
    kind = "knob points" if study.sampler == "grid" else f"samples ({study.sampler})"
    labels = [label for label in study.tables if label != CONTROL and get_method(study.method_name(label)).space]
    if not labels:
        return None, "no method but the control"
    had = Counter((r.label, r.task.name, r.seed) for r in records)
    seeds = begun(records)
    every = [(slot.label, slot.task.name, slot.seed) for slot in study.slots() if slot.label in labels]
    slots = [(label, task, seed) for label, task, seed in every if seed in seeds[task]]
    counts = Counter(had[slot] for slot in slots)
    usual = counts.most_common(1)[0][0]
    if not any(counts):
        return None, "no method but the control has a record"
    if len(counts) == 1:
        where = "on every task and with every seed" if len(slots) == len(every) else "with each seed that has a record"
        evidence = f"{usual} {kind} for each of {len(labels)} methods, {where}"
        return True, evidence + unfinished(study, records)
    odd = [f"{label} on {task}, seed {seed}: {had[label, task, seed]}" for label, task, seed in slots]
    others = [text for text, slot in zip(odd, slots, strict=True) if had[slot] != usual]
    return False, f"{usual} {kind} for {counts[usual]} of {len(slots)} method, task and seed; {some(others)}"


def _validation(study: Study, records: list[Record], tuning: Tuning | None) -> Judgement:
    records = results(records)
    if not records:
        return NO_RESULT
    seen = [
        f"{point(r)}: test in {', '.join(names)}"
        for r in records
        if (names := [name for name in (*r.history, *r.stage_accuracy) if "test" in name])
    ]
    picked = [
        f"{point(r)}: not the last epoch's network"
        for r in records
        if not r.stage_accuracy or r.val_accuracy != list(r.stage_accuracy.values())[-1] or not _at_last_epoch(r)
    ]
    fixed = {label: _fixed(study, label, tuning) for label in study.tables if label != CONTROL}
    by_hand = [f"{label}: {', '.join(names)}" for label, names in fixed.items() if names]
    evidence = (
        f"{len(records) - len(picked)} of {len(records)} results are of the last epoch's network: no epoch was picked; "
        f"{len(records) - len(seen)} hold validation accuracies only, but for one test accuracy of the final network. "
        f"The sampler ({study.sampler}), fronts and best points see validation only. "
        "Fixed by the study's file beside the knob, in a way no record shows: " + ("; ".join(by_hand) or "nothing")
    )
    return not seen + picked, evidence + (f"; {some(seen + picked)}" if seen + picked else "")


def _at_last_epoch(r: Record) -> bool:
    """Whether the network after the last stage of training validates as the last epoch's did."""
    curve = r.history.get("val_accuracy", [])
    trained = r.stage_accuracy.get("fine_tuned", r.stage_accuracy.get("trained", math.nan))
    return not len(curve) or math.isclose(curve[-1], trained, abs_tol=1e-6)  # histories may be in single precision


def _fixed(study: Study, label: str, tuning: Tuning | None) -> list[str]:
    """The hyperparameters that a study's file sets for a method, its knob's points and what is tuned aside.

    What all candidates set alike is not tuned. The shapes that a tuned study's points have are those of a candidate.
    """
    table = study.tables[label]
    knob = get_method(table.get("method", label)).knob
    keys = dict.fromkeys([*table, *(key for point in table.get("points", ()) for key in point)])
    tried = tuning.candidates.get(label, []) if tuning else []
    tuned = {key for one in tried for key in one if any(other.get(key) != one[key] for other in tried)}
    followed = {SHAPE} if tuning else set()
    return [key for key in keys if key not in {*NOT_HYPERPARAMETERS, knob, *tuned, *followed}]


def _enough_seeds(study: Study, records: list[Record]) -> Judgement:
    have: dict[tuple[str, str], set[int]] = {(slot.task.name, slot.label): set() for slot in study.slots()}
    for r in results(records):
        have[r.task.name, r.label].add(r.seed)
    few = {place: len(seeds) for place, seeds in have.items() if len(seeds) < LEAST_SEEDS}
    evidence = f"the study has {len(study.seeds)}; fewest with a result: {min(map(len, have.values()))}"
    names = [f"{label} on {task} has {count}" for (task, label), count in few.items()]
    return not few, evidence + (f"; {some(names)}" if few else "")


def _complete(study: Study, records: list[Record]) -> Judgement:
    have = len({r.key for r in records})
    statuses = ", ".join(f"{count} {status}" for status, count in Counter(r.status for r in records).most_common())
    broken = [f"{r.status}: {point(r)}" for r in records if r.status not in FINISHED]
    evidence = f"{have} of {study.size} trials have a record: {statuses}"
    return have == study.size, evidence + (f" ({some(broken)})" if broken else "")


RULES: dict[str, Judge] = {
    "Fine-tuning is marked": methods.fine_tuning,
    "ξ by one rule": methods.thresholds,
    f"Seeds: {LEAST_SEEDS} where a claim is made": _enough_seeds,
    "The same seeds for every method": _seeds,
    "The same total epochs for every method": _epochs,
    "As many points for every method": _points,
    "Every trial has a record, failures are counted": _complete,
    "Every removal is proven exact": rules.proof,
    "No missing point is filled in": rules.no_filling,
    CODE: rules.one_code,
    "One content of each dataset": rules.one_data,
    MACHINE: rules.one_machine,
    "Every record is of the trial that its key names": rules.keys,
    "Every reduced network is measured": rules.reduced,
}

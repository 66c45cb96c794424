"""The rules of a fair comparison that say whether every method had the same chance."""

from __future__ import annotations

from collections import defaultdict

from benchmark.analysis.fairness_records import NO_RESULT, Judgement, begun, results
from benchmark.analysis.frame import CHECKPOINT, CONTROL, CONTROLS
from benchmark.errors import some
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study
from benchmark.experiment.tuning import Tuning
from benchmark.method.domains import RULE
from benchmark.method.registry import get_method

MARKED = "+ fine-tune"  # how the legend of a method that fine-tunes ends
PAPERS = ("implicit", 1e-15)  # the method whose paper says its ξ, and that ξ
CHECKPOINT_RULE = "A checkpoint has not seen what it is judged by"


def controls(study: Study, records: list[Record]) -> Judgement:
    """Asked for with every seed that has a record. Of a study of conditions, which compares no methods, dense alone."""
    seeds = begun(records)
    wanted = [(task.name, seed) for task in study.tasks for seed in study.seeds if seed in seeds[task.name]]
    have = defaultdict(set)
    for r in results(records):
        if r.label == r.setting.method:
            have[r.label].add((r.task.name, r.seed))
    asked = CONTROLS[:1] if study.conditions else CONTROLS
    lacking = {label: [place for place in wanted if place not in have[label]] for label in asked}
    texts = []
    for label, places in lacking.items():
        none = some(f"{task}, seed {seed}" for task, seed in places)
        counted = f"{len(wanted) - len(places)} of {len(wanted)} pairs of task and seed"
        texts.append(
            f"{label}: not in the study"
            if label not in study.tables
            else f"{label}: {counted}" + (f", none for {none}" if none else "")
        )
    return not any(lacking.values()), "; ".join(texts)


def tuned(study: Study, records: list[Record], tuning: Tuning | None) -> Judgement:
    """What a study of conditions changes is what it is about: nothing there is tuned."""
    if study.conditions:
        return None, "a study of conditions compares settings, not methods"
    if tuning is None:
        return False, "no [tuning] in the study's file: what is set beside the knob was not tried by a rule"
    tunable = {label for label in study.tables if get_method(study.method_name(label)).space}
    counts = {label: len(candidates) for label, candidates in tuning.candidates.items() if label in tunable}
    numbers = " or ".join(map(str, sorted(set(counts.values()))))
    seeds = ", ".join(map(str, study.seeds))
    evidence = (
        f"{numbers} candidates for each of {len(counts)} methods, with tuning seed {tuning.seed}, chosen by "
        f"validation; evaluation seeds {seeds}"
    )
    alone = sorted(label for label, count in counts.items() if count == 1)
    fair = len(set(counts.values())) == 1 and counts.keys() == tunable and tuning.seed not in study.seeds
    return fair and not alone, evidence + (f"; of one candidate nothing is chosen: {some(alone)}" if alone else "")


def fine_tuning(study: Study, records: list[Record]) -> Judgement:
    measured = results(records)
    if not measured:
        return NO_RESULT
    tuned = {r.label for r in measured if "fine_tuned" in r.stage_accuracy}
    names = {label: study.legend(label) for label in study.tables if label in tuned}
    unmarked = [label for label, name in names.items() if not name.endswith(MARKED)]
    others = [label for label in study.tables if label not in tuned and label != CONTROL]
    evidence = f"fine-tune: {', '.join(names) or 'none'}; do not: {', '.join(others) or 'none'}"
    return not unmarked, evidence + (f"; not marked in the legend: {', '.join(unmarked)}" if unmarked else "")


def thresholds(study: Study, records: list[Record]) -> Judgement:
    """The paper's own entry keeps the paper's ξ."""
    chosen: dict[str, set[float | str]] = defaultdict(set)
    papers = set()
    for r in results(records):
        if "threshold" in r.setting.hyperparameters and _acts(r):
            chosen[r.label].add(r.setting.hyperparameters["threshold"])
            if (r.setting.method, r.setting.hyperparameters["threshold"]) == PAPERS:
                papers.add(r.label)
    if not chosen:
        return None, "no method has a ξ"
    fixed = {label: values - {RULE} for label, values in chosen.items() if values - {RULE}}
    papers = {label for label in papers if len(chosen[label]) == 1}
    texts = [f"{label} {', '.join(f'{value:g}' for value in sorted(values))}" for label, values in fixed.items()]
    ruled = [label for label in chosen if label not in fixed]
    evidence = f"by the rule: {', '.join(ruled) or 'none'}; fixed: {'; '.join(texts) or 'none'}"
    evidence += f" (the paper's own: {', '.join(sorted(papers))})" if papers else ""
    return not fixed.keys() - papers, evidence


def _acts(record: Record) -> bool:
    """Whether ξ changes anything: methods that end with exact zeros take no notice of it, be it 1e-16 or 1000."""
    return len(set(record.threshold_accuracy.values())) != 1


def checkpoints(study: Study, records: list[Record]) -> Judgement:
    """What a checkpoint was trained on, and for how long, no record shows."""
    names = sorted({f"{task.checkpoint} on {task.dataset}" for task in study.tasks if task.checkpoint})
    known = {r.task.name: r.stage_accuracy["checkpoint"] for r in results(records) if "checkpoint" in r.stage_accuracy}
    found = "; ".join(f"{name}: {100 * share:.2f} %" for name, share in sorted(known.items()))
    return None, (
        f"no record shows what {some(names)} was trained on: only a test set that it has not seen judges it, and where "
        "validation samples were among its training samples, validation flatters every method that starts from it "
        f"(its accuracy on validation: {found or 'not measured'}). Epochs count from the checkpoint on; scratch has no "
        "others"
    )


def is_checkpoint(record: Record) -> bool:
    """Whether a record is of a checkpoint as it came, which takes no epochs."""
    return record.setting.method == CHECKPOINT and record.task.checkpoint is not None

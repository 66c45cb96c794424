"""At which stage of a trial its validation accuracy fell."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.analysis.frame import CONTROL, STAGES
from benchmark.experiment.record import Record

WORDS = dict(zip(STAGES, ("training under its penalty", "silencing", "removal", "fine-tuning"), strict=True))


def changes(stages: Mapping[str, float], start: float | None) -> dict[str, float]:
    """By stage how the accuracy changed there; in training against `start`, what dense validates, where that is known.

    A stage that was not reached, or follows one whose accuracy is not known, has no change.
    """
    pairs = zip(STAGES, [start, *map(stages.get, STAGES)], strict=False)
    reached = {name: (before, stages[name]) for name, before in pairs if name in stages}
    return {name: after - before for name, (before, after) in reached.items() if before is not None}


def fell(stages: Mapping[str, float], start: float | None) -> str | None:
    """The stage at which the accuracy fell most; None where it fell at none."""
    found = changes(stages, start)
    worst = min(found, key=lambda name: found[name], default=None)
    return worst if worst is not None and found[worst] < -1e-9 else None


def start_of(record: Record, records: list[Record]) -> float | None:
    """The validation accuracy of the dense control with a record's task, protocol and seed; None without one."""
    place = record.task, record.protocol, record.seed
    dense = [r for r in records if r.label == CONTROL and r.measured and (r.task, r.protocol, r.seed) == place]
    return max((r.val_accuracy for r in dense if r.val_accuracy is not None), default=None)


def tell(record: Record, start: float | None) -> str:
    """A record's accuracies, stage by stage, and where they fell most, in a sentence."""
    stages, worst = record.stage_accuracy, fell(record.stage_accuracy, start)
    parts = [f"{100 * start:.2f} % dense with the same seed"] if start is not None else []
    parts += [f"{100 * stages[name]:.2f} % after {what}" for name, what in WORDS.items() if name in stages]
    text = f"validation accuracy: {', '.join(parts)}"
    if worst is None:
        return f"{text}; it fell at no stage"
    return f"{text}; it fell most in {WORDS[worst]}, by {-100 * changes(stages, start)[worst]:.2f} points"

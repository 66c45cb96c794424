"""What the commands do with a study that is tuned: its stages, its choice, and one that was made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from benchmark.analysis.tuning import Score, chosen, tuning_records
from benchmark.cli.options import console
from benchmark.errors import UsageError
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.study import Study
from benchmark.experiment.tuning import EVALUATION, following, sizes


def later_stages(study: Study, known: dict[str, Study]) -> Iterator[str]:
    """What is to come after the stages that are known, in words."""
    if study.tuning is None:
        return
    for name, size in sizes(study).items():
        if name not in known:
            most = "up to " if name == EVALUATION and following(study) else ""
            yield f"{name}: {most}{size} trials, which follow from what is chosen before"


def show_choice(study: Study, records: list[Record]) -> None:
    """Prints the candidate that was chosen for each label."""
    if study.tuning is None:
        return
    table = Table("method", "chosen", "score", "what it sets", title=f"chosen with seed {study.tuning.seed}", box=None)
    for label, score in chosen(study, records).items():
        place = f"{score.candidate} of {len(study.tuning.candidates[label])}"
        table.add_row(label, place, f"{score.score:.4f}", _values(score))
    console.print(table)


def take_tuning(study: Study, folder: Path) -> list[Record]:
    """The records of a study's tuning in another folder of results. Raises UsageError where there are none."""
    if study.tuning is None:
        raise UsageError(f"study {study.name!r} has no [tuning]: leave out --tuning")
    taken = tuning_records(study, Store(folder).load())
    if not taken:
        raise UsageError(f"{folder} has no records of the tuning of study {study.name!r}")
    return taken


def _values(score: Score) -> str:
    return ", ".join(f"{key} = {value}" for key, value in score.values.items()) or "nothing"


def stage_title(plan: Study, stage: str) -> str:
    """What a table of one stage is called."""
    return f"{plan.title}: {stage}" if plan.tuning else plan.title

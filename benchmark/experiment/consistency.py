"""What keeps the parts of a study from fitting together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from benchmark.errors import unknown
from benchmark.experiment.published import problems_of_reproduction
from benchmark.experiment.tuning import AS_IT_CAME, CONTROL, Tuning, following

if TYPE_CHECKING:
    from benchmark.experiment.study import Study


def problems(study: Study, reserved: Collection[str]) -> Iterator[str]:
    """Each problem in one line; `reserved` are the keys of a method's table that are no hyperparameters."""
    unique: dict[str, Sequence[int | str]] = {"seed": study.seeds, "task": [t.name for t in study.tasks]}
    for kind, items in unique.items():
        yield from (f"{kind} {item!r} is there twice" for item in items if items.count(item) > 1)
    if (study.sampler == "grid") != (study.samples is None):
        yield "samplers random and optuna need the key 'samples', and grid has none"
    if not study.title.strip():
        yield "its title is empty"
    for label, table in study.methods.items():
        if not label.strip() or not label.isprintable():
            yield f"[methods.{label!r}]: give it a label that can be printed"
        if not isinstance(table.get("title", label), str) or not table.get("title", label).strip():
            yield f"[methods.{label}]: title = {table['title']!r} is no text"
        if "points" in table and study.sampler != "grid":
            yield f"[methods.{label}]: points need the sampler grid"
        points = table.get("points", [{}])
        if not (isinstance(points, list) and points and all(isinstance(point, dict) for point in points)):
            yield f"[methods.{label}]: points is no list of tables"
        if table.get("method", label) == AS_IT_CAME and study.sampler != "grid":
            yield f"[methods.{label}] has nothing to sample, and so needs the sampler grid"
        if table.get("method", label) == AS_IT_CAME and table.get("fine_tune") is True:
            yield f"[methods.{label}] is a network as it came, and cannot fine-tune; see dense"
        if not isinstance(table.get("fine_tune", True), bool):
            yield f"[methods.{label}]: fine_tune = {table['fine_tune']!r} is neither true nor false"
    if study.conditions is not None:
        if study.conditions.of not in study.methods:
            yield f"conditions are of {study.conditions.of!r}, which is none of its methods"
        if study.sampler != "grid":
            yield "conditions need the sampler grid"
        if len(study.tasks) > 1:
            yield "conditions are of one task"
    yield from problems_of_reproduction(study)
    yield from _of_following(study)
    if study.tuning is not None:
        yield from _of_tuning(study, study.tuning, reserved)


def _of_following(study: Study) -> Iterator[str]:
    for label, other in following(study).items():
        place = f"[methods.{label}] follows {other!r}"
        if study.tuning is None:
            yield f"{place}, which needs [tuning]"
        if other not in study.methods or other in following(study):
            yield f"{place}, which is no label with shapes of its own"
        if len(study.tasks) > 1:
            yield f"{place}, which needs a study of one task"


def _of_tuning(study: Study, tuning: Tuning, reserved: Collection[str]) -> Iterator[str]:
    candidates, methods = tuning.candidates, study.methods
    if study.conditions is not None or study.sampler != "grid":
        yield "[tuning] needs the sampler grid, and no conditions"
    if tuning.seed in study.seeds:
        yield f"[tuning] seed {tuning.seed} is one of the seeds; tuning needs one that no result uses"
    if CONTROL not in methods:
        yield f"[tuning] needs the label {CONTROL!r}, against which every score is measured"
    yield from (
        f"[tuning.candidates]: {unknown('label', label, methods)}" for label in candidates if label not in methods
    )
    yield from (f"[tuning.candidates] has none for {label!r}" for label in methods if label not in candidates)
    tunable = [label for label in candidates if methods.get(label, {}).get("method", label) != AS_IT_CAME]
    fewest = min(tunable, key=lambda label: len(candidates[label]), default="")
    for label, tables in candidates.items():
        if label in tunable and len(tables) > len(candidates[fewest]):
            yield f"[tuning.candidates] has {len(tables)} for {label!r} and {len(candidates[fewest])} for {fewest!r}"
        if any(table in tables[:place] for place, table in enumerate(tables)):
            yield f"[tuning.candidates] has a candidate of {label!r} twice"
        for key in [key for table in tables for key in table if key in reserved]:
            yield f"[tuning.candidates]: {key!r} of {label!r} is no hyperparameter"

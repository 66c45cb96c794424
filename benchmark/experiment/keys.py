"""Every key that a study's file may have, with its type, default and meaning, as the models say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmark.experiment.brought import HASHES
from benchmark.experiment.conditions import Conditions
from benchmark.experiment.published import Published
from benchmark.experiment.study import Study
from benchmark.experiment.trial import Protocol, Strict, Task
from benchmark.experiment.tuning import Tuning

TABLES: dict[str, type[Strict]] = {
    "": Study, "protocol.": Protocol, "tasks.": Task, "conditions.": Conditions, "tuning.": Tuning,
    "published.LABEL.": Published,
}  # fmt: skip
OF_A_METHOD = {  # the study checks these itself, beside the method's hyperparameters
    "method": ("string", "the label", "Which method the label is (`deadweight list methods`)."),
    "title": ("string", "the method's", "What the legend says."),
    "HYPERPARAMETER": (
        "number or string", "the method's",
        "Fixed for all trials of the label; for the method's knob a list gives its points, or a sampler's range.",
    ),
    "points": ("list of tables", "none", "In place of a list for the knob: the hyperparameters that each point sets."),
    "fine_tune": ("boolean", "the method's", "Whether the reduced network is trained on after removal."),
    "follows": (
        "string", "none", "In a tuned study: the label at whose shapes, on the tuning seed, this one is evaluated."
    ),
    "task": ("table", "none", "In a reproduction: what the label changes of the task."),
    "protocol": ("table", "none", "In a reproduction: what the label changes of the protocol."),
}  # fmt: skip
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Key:
    """A key by its place in the file, and in words its type, its default and what it means."""

    key: str
    type: str
    default: str
    meaning: str


def keys() -> list[Key]:
    """Every key, in the order of the models, those of a method's table behind the study's tasks."""
    found = [key for place, model in TABLES.items() for key in _of_model(place, model)]
    own = [Key(f"methods.LABEL.{name}", *words) for name, words in OF_A_METHOD.items()]
    place = next(i for i, key in enumerate(found) if key.key.startswith("conditions."))
    return found[:place] + own + found[place:]


def to_markdown(rows: list[Key]) -> str:
    """The keys as a Markdown table."""
    lines = [f"| `{row.key}` | {row.type} | {row.default} | {row.meaning} |" for row in rows]
    return "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *lines]) + "\n"


def _of_model(place: str, model: type[Strict]) -> Iterator[Key]:
    schema = model.model_json_schema()
    for name, part in schema["properties"].items():
        if name in HASHES or (model is Study and name == "name"):
            continue  # these follow from the file and what it names
        default = "required" if name in schema.get("required", ()) else _default(part.get("default"))
        yield Key(place + name, _type(part), default, part["description"])


def _default(value: Any) -> str:
    return "none" if value is None or value in ([], {}, "") else json.dumps(value)


def _type(part: dict[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_type(option) for option in part["anyOf"] if option.get("type") != "null")
    if "enum" in part or "const" in part:
        return " or ".join(json.dumps(value) for value in part.get("enum", [part.get("const")]))
    if part.get("type") == "array":
        return f"list of {_plural(_type(part['items']))}"
    if "$ref" in part or part.get("type") == "object":
        return "table"
    bounds = [f"{sign} {part[name]:.15g}" for name, sign in BOUNDS.items() if name in part]
    return " ".join([part["type"], ", ".join(bounds)]).strip()


def _plural(words: str) -> str:
    first, _, rest = words.partition(" ")
    return f"{first}s {rest}".strip()

"""What to use when, in sentences computed from the scores of `analysis.verdict`."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from benchmark.analysis.intervals import LEAST, LEVEL, shown
from benchmark.analysis.summary import MARK
from benchmark.analysis.verdict import ACCURACY, WITHIN, Leaders, leaders

# The columns that answer a question, with how it begins and what the leader's figure is.
QUESTIONS = {
    **{
        column: (f"To remove {100 * least:g} % of the parameters", "test accuracy")
        for least, column in ACCURACY.items()
    },
    WITHIN: ("To lose at most 1 point against dense", "of the parameters removed"),
}
NOTE = (
    f"Not shown to be worse: p ≥ {LEVEL} in paired t tests over seeds against the method with the highest mean, with "
    "Holm's correction for the methods of that task. That is not to be equal: the fewer the seeds, the more methods "
    "are among them. The leader's own figure is a little too good: it leads on the seeds that it is judged by. Only "
    f"tasks with {LEAST} seeds or more count here, and only methods that get there with every seed."
)


def sentences(scores: pd.DataFrame) -> list[str]:
    """A sentence for each question, from all places that have seeds enough to answer it."""
    return [_sentence(scores, column) for column in QUESTIONS]


def _sentence(scores: pd.DataFrame, column: str) -> str:
    question, unit = QUESTIONS[column]
    found = {str(task): leaders(place, column) for task, place in scores.groupby("task", sort=False)}
    known = {task: one for task, one in found.items() if one is not None}
    if not known:
        return (
            f"{question}: no task has a method that gets there with each of {LEAST} seeds or more, so nothing is said."
        )
    best = "; ".join(_leader(task, one, unit) for task, one in known.items())
    return f"{question}: {best}. {_choice(list(known.values()))}"


def _leader(task: str, one: Leaders, unit: str) -> str:
    text = f"on {task}, {one.best} leads with {shown(one.level)} % {unit} (n = {one.level.n})"
    if one.gap.n:
        text += f", {shown(one.gap, sign='+', digits=2)} points against from scratch"
    return text


def _choice(found: list[Leaders]) -> str:
    """Which methods are not shown to be worse than the leader, on all places and on some, and which are everywhere."""
    even = Counter(name.removesuffix(MARK) for one in found for name in (one.best, *one.even))
    if len(found) == 1:
        (one,) = found
        texts = [f"Not shown to be worse: {_names(one.even)}", *_behind(one)]
        return "; ".join(texts) + "."
    everywhere = [name for name, count in even.items() if count == len(found)]
    some = [f"{name} ({count})" for name, count in even.most_common() if count < len(found)]
    return (
        f"Not shown to be worse than the leader on any of the {len(found)} tasks: {_names(everywhere)}; on some of "
        f"them: {_names(some)}."
    )


def _behind(one: Leaders) -> list[str]:
    texts = {"shown to be worse": one.worse, "not there with every seed": one.short}
    return [f"{text}: {_names(names)}" for text, names in texts.items() if names]


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"

"""The numbers that a forward pass computes constants with, as far as they may follow what the pass is run on."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from benchmark.removal.calls import Call
from benchmark.removal.labels import Mask, Number, Seen, Trace
from benchmark.removal.operations import NORMALISATIONS, PICKS
from benchmark.removal.readers import find_constants

UNREAD = None  # what a number is on a device without values
Values = tuple[Any, ...] | None


def numbers_met(followed: Trace) -> list[Number]:
    """The numbers that would change a constant, if they changed."""
    numbers = [*followed.numbers, *_picks(followed), *_epsilons(followed)]
    if not numbers:
        return []
    constant, _ = find_constants(followed)
    return [number for number in numbers if _meets(followed, number, constant)]


def read(call: Call, number: Number) -> Values:
    """What an operation computes with; what cannot be read is like no other."""
    try:
        if call.name in PICKS:
            return tuple(map(_place, [value for key, value in call.arguments.items() if key != "self"]))
        if call.name in NORMALISATIONS:
            return (call.arguments["eps"],)
        return call.numbers(number.lone)
    except Exception:
        return UNREAD if any(x.is_meta for x in call.tensors) else (object(),)


def _place(value: Any) -> Any:
    """Where something is taken from: a number, or lists of them."""
    if isinstance(value, Tensor):
        return value.tolist()
    return [*map(_place, value)] if isinstance(value, list | tuple) else value


def _meets(followed: Trace, number: Number, constant: Mask) -> bool:
    sources = [source for i in number.steps for source in followed.steps[i].sources]
    changing = constant & (followed.value != 0) if number.keeps_zeros else constant
    return any(changing[source].any() for source in sources)


def _picks(followed: Trace) -> list[Number]:
    """What is taken out of parameters by its place, and the steps that use it: another place holds another value."""
    places = [place for place, seen in enumerate(followed.seen) if seen.name in PICKS and seen.results]
    if not places:
        return []
    own = np.zeros(len(followed.label), dtype=bool)  # cells that are made of parameters alone
    for step in followed.steps:
        made = bool(step.sources) and all(own[source].all() for source in step.sources)
        own[step.cells] = step.kind == "constant" or made
    numbers = []
    for place in places:
        cells = _cells(followed.seen[place])
        if len(cells) and own[cells].all():
            users = {user for maker in np.unique(followed.makers[cells]) for user in followed.users[maker]}
            steps = [i for i in users if any(np.isin(source, cells).any() for source in followed.steps[i].sources)]
            numbers.append(Number(place, sorted(steps), (), keeps_zeros=False))
    return numbers


def _epsilons(followed: Trace) -> list[Number]:
    """What norms add to variances, where it is not their module's own number."""
    numbers = []
    for place, seen in enumerate(followed.seen):
        if seen.name in NORMALISATIONS and len(cells := _cells(seen)):
            maker = int(followed.makers[cells[0]])
            layer = followed.layers.get(followed.steps[maker].layer)
            if layer is None or getattr(layer.module, "eps", None) not in seen.scalars:
                numbers.append(Number(place, [maker], (), keeps_zeros=False))
    return numbers


def _cells(seen: Seen) -> Any:
    """The cells that an operation's results hold."""
    found = [shape.cells.reshape(-1) for shape in seen.results or () if shape.cells is not None]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

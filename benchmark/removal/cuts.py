"""Finds where code cuts channels into parts by a number that it keeps: an attribute of the module that does it.

A forward pass only shows the number itself. What a module's own attributes hold of the same value is taken to be where
it comes from, so that a reduced module gets the number of channels that are left. Whether that is right shows in
`widths.py`: the pass with other widths has to be the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import nn

from benchmark.removal.calls import Call
from benchmark.removal.labels import Cut, Ids, Size

Candidates = list[tuple[int, Ids]]  # numbers that a cut may be made with, each with the channels that it counts


@contextmanager
def noting(module: nn.Module, running: list[nn.Module]) -> Iterator[None]:
    """A context in which `running` holds the modules whose forward passes run, the innermost last."""

    def enter(part: nn.Module, _: Any) -> None:
        running.append(part)

    def leave(part: nn.Module, _: Any, __: Any) -> None:
        running.pop()

    handles = [part.register_forward_pre_hook(enter) for part in module.modules()]
    handles += [part.register_forward_hook(leave, always_call=True) for part in module.modules()]
    try:
        yield
    finally:
        running.clear()
        for handle in handles:
            handle.remove()


def is_hooked(part: nn.Module) -> bool:
    """Whether hooks run with a module, while `noting`, but for those that note it."""
    everywhere = nn.modules.module._global_forward_hooks or nn.modules.module._global_forward_pre_hooks
    return bool(everywhere) or len(part._forward_hooks) != 1 or len(part._forward_pre_hooks) != 1


def read_cut(call: Call, whole: Ids, parts: list[Ids]) -> tuple[Cut, Candidates] | None:
    """Into which parts a call cuts the labels of an axis, perhaps by which numbers; None if it is no cut."""
    if call.name in ("slice", "narrow"):
        return _read_slice(call, whole, parts[0])
    lengths = [len(part) for part in parts]
    if len(parts) < 2:
        return None
    repeated = [part for part in parts if lengths.count(len(part)) > 1]
    halves = [(len(whole), whole)] if len(repeated) == len(parts) else []  # or thirds, …
    return Cut(parts, repeated), [*((len(part), part) for part in parts), *halves]


def _read_slice(call: Call, whole: Ids, part: Ids) -> tuple[Cut, Candidates] | None:
    start = call.arguments["start"] or 0
    start += len(whole) if start < 0 else 0
    end = start + len(part)
    if call.arguments.get("step", 1) != 1 or len(part) == len(whole):
        return None
    sides = [whole[:start], part, whole[end:]]
    return Cut([side for side in sides if len(side)], []), [(start, whole[:start]), (end, whole[:end])]


def sizes_kept(module: nn.Module, name: str, cut: Cut, candidates: Candidates) -> tuple[Cut, list[Size]]:
    """The attributes of a module that hold the numbers of a cut, and the cut: where only lists do, parts may differ."""
    lengths = [len(part) for part in cut.parts]
    numbers = {count: labels for count, labels in reversed(candidates) if count > 1}
    single, listed = [], []
    for key, value in vars(module).items():
        if type(value) is int and value in numbers:
            single.append(Size(name, key, None, numbers[value]))
        elif type(value) in (list, tuple) and list(value) == lengths:
            listed += [Size(name, key, place, part) for place, part in enumerate(cut.parts)]
    return Cut(cut.parts, cut.alike if single else []), single + listed


def agreeing(sizes: list[Size]) -> list[Size]:
    """Of the attributes those that count the same channels wherever they are used, each once."""
    by_place: dict[tuple[str, str, int | None], list[Size]] = {}
    for size in sizes:
        by_place.setdefault((size.owner, size.key, size.place), []).append(size)
    return [same[0] for same in by_place.values() if all(np.array_equal(same[0].labels, s.labels) for s in same)]

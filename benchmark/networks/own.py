"""Networks of the user's own: what the function that a study names returns."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from benchmark.errors import UsageError
from benchmark.own_code import explained, load_function
from benchmark.own_files import get

GIVEN = ("shape", "classes", "widths", "activation", "norm")


def build_own(
    name: str, sha256: str, shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str
) -> nn.Module:
    """The network that the function of this name, of a file with this hash, returns; never one that is trained already.

    The function is given what it takes of one input's `shape`, `classes`, `widths`, `activation` and `norm`, by name;
    widths only where the task has some or it cannot do without. Raises UsageError.
    """
    function = load_function(name, sha256)
    values = {"shape": shape, "classes": classes, "widths": widths, "activation": activation, "norm": norm}
    arguments = {key: values[key] for key in _taken(name, function, values)}
    try:
        network = function(**arguments)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{name} fails: {explained(error, get(name).path)}") from None
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name} returns a {type(network).__name__}, not a torch.nn.Module")
    if not any(True for _ in network.parameters()):
        raise UsageError(f"{name} returns a {type(network).__name__} without parameters")
    return copy.deepcopy(network)  # a module may keep the one that it returned, and return it to the next trial


def _taken(name: str, function: Callable[..., Any], values: dict[str, Any]) -> list[str]:
    """The names of what a function is to be called with. Raises UsageError for what it cannot be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise UsageError(f"{name} does not say what it takes: give it named parameters") from None
    every = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = {p.name: p.default is p.empty for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    needed = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    needed += [key for key, must in named.items() if must and key not in GIVEN]
    if needed:
        raise UsageError(f"{name} asks for {needed[0]!r}; it can be given {', '.join(GIVEN)}, by name")
    usual = {"widths": (), "activation": "relu", "norm": "batch"}
    for key, default in usual.items():
        if values[key] != default and key not in named and not every:
            raise UsageError(f"{name} takes no {key!r}, and the task sets it: leave it out")
    taken = [key for key in GIVEN if key in named or every]
    return [key for key in taken if key != "widths" or values[key] or named.get(key)]

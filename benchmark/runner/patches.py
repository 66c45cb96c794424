"""What names stand for in torch, in this suite and in its methods; a patch gives one another meaning."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

ROOMS = ("torch.nn", "torch.optim", "benchmark", "methods", "baselines")  # with all below them
MODULES = (
    "builtins", "math", "random", "numpy", "torch", "torch._tensor", "torch.autograd", "torch.autograd.function",
    "torch.functional", "torch.linalg",
)  # fmt: skip
MISSING = object()

Space = ModuleType | type


class Names:
    """The names of every watched module and class, as they are when this is made."""

    def __init__(self) -> None:
        self._was = [(space, {name: x for name, x in vars(space).items() if _acts(x)}) for space in _spaces()]

    def put_back(self) -> list[str]:
        """Gives each name its meaning back; returns those that had another, for example `torch.relu`.

        What a module gained does not count, for imports add to modules; a method that a class gained does.
        """
        changed = []
        for space, was in self._was:
            for name in _differing(space, was):
                changed.append(f"{_called(space)}.{name}")
                _bind(space, name, was.get(name, MISSING))
        return changed


def _spaces() -> Iterator[Space]:
    from benchmark.method.registry import registry

    own = {method.__module__ for method in registry().methods.values()}
    below = tuple(f"{name}." for name in ROOMS)
    for name, module in list(sys.modules.items()):
        if name in MODULES or name in ROOMS or name in own or name.startswith(below):
            yield module
            if name != "builtins":
                yield from (x for x in vars(module).values() if isinstance(x, type) and x.__module__ == name)


def _differing(space: Space, was: dict[str, Any]) -> list[str]:
    now = vars(space)
    changed = [name for name, value in was.items() if now.get(name) is not value and not _same(now.get(name), value)]
    if isinstance(space, type):
        changed += [name for name in now.keys() - was.keys() if callable(now[name])]
    return changed


def _acts(value: Any) -> bool:
    """Whether a value is what code runs through; counters, caches and the like may change."""
    return callable(value) or isinstance(value, staticmethod | classmethod | property)


def _same(now: Any, was: Any) -> bool:
    """Whether a name stands for what it did; torch itself wraps the step of each kind of optimiser at its first use."""
    return getattr(now, "hooked", False) and now.__wrapped__ is was


def _bind(space: Space, name: str, value: Any) -> None:
    if value is MISSING:
        delattr(space, name)
    else:
        setattr(space, name, value)


def _called(space: Space) -> str:
    return space.__name__ if isinstance(space, ModuleType) else f"{space.__module__}.{space.__qualname__}"

"""Finds the methods: files in `methods/` and `baselines/`, and entry points in the group `deadweight.methods`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING

from benchmark.errors import UsageError, first_line, unknown
from benchmark.method.domains import Choice, Real, Text

if TYPE_CHECKING:  # it needs torch, and the names of methods do not
    from benchmark.method.interface import Method

PACKAGES = ("methods", "baselines")
ENTRY_POINTS = "deadweight.methods"
FIELDS = {"title": str, "reference": str, "knob": str | None, "space": dict, "version": int}


@dataclass
class Registry:
    """Methods by name, and what is wrong with those that could not be loaded."""

    methods: dict[str, type[Method]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, method: type[Method], source: str) -> None:
        """Registers a method, or notes why it cannot be."""
        if name in self.methods:
            self.broken[f"{name} ({source})"] = f"its name is taken by {self.methods[name].__module__}"
            return
        try:
            check_metadata(method)
        except ValueError as error:
            self.broken[name] = f"{source}: {error}"
        else:
            self.methods[name] = method


def check_metadata(method: type[Method]) -> None:
    """Raises ValueError if a method's class fields are missing or do not fit together."""
    from benchmark.method.interface import Method

    for name, kind in FIELDS.items():
        if not isinstance(getattr(method, name, ...), kind):
            raise ValueError(f"class {method.__name__} needs the field {name!r}")
    if method.knob is not None and method.knob not in method.space:
        raise ValueError(f"knob {method.knob!r} is not a key of its space ({', '.join(method.space)})")
    for key, domain in method.space.items():
        if not isinstance(domain, Real | Choice | Text):
            raise ValueError(f"space[{key!r}] is no Real, Choice or Text")
        if hasattr(Method, key):
            raise ValueError(f"space[{key!r}] has the name of a part of the interface")
    try:
        method.validate({})
        if method.knob is not None:
            for value in getattr(method.space[method.knob], "grid", ()):
                method.validate({method.knob: value})
    except ValueError as error:
        raise ValueError(f"a default is not valid: {error}") from None
    if not card(method):
        raise ValueError("its file needs a docstring card: objective, what is silenced, groups, source")


def card(method: type[Method]) -> str:
    """The method card: the docstring of the method's file."""
    return inspect.cleandoc(sys.modules[method.__module__].__doc__ or "")


@cache
def registry() -> Registry:
    """All methods that this installation knows; one that fails to load leaves the others."""
    found = Registry()
    for name, source in _sources():
        _load(found, name, source)
    return found


def method_names() -> list[str]:
    """The names of all methods, without loading one: the broken ones are among them."""
    return sorted({name for name, _ in _sources()})


def _sources() -> Iterator[tuple[str, str]]:
    """Each method's name, and where its class lies."""
    for package in PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if not module.name.startswith("_"):
                yield module.name, f"{package}.{module.name}"
    for point in entry_points(group=ENTRY_POINTS):
        yield point.name, point.value


def _load(found: Registry, name: str, source: str) -> None:
    path, _, attribute = source.partition(":")
    try:
        module = importlib.import_module(path)
        method = getattr(module, attribute) if attribute else _only_method(module)
        found.add(name, method, source)
    except (Exception, SystemExit) as error:
        place = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        key = f"{name} ({source})" if name in found.methods else name
        found.broken[key] = f"{source}: {place}{type(error).__name__}: {first_line(error)}"


def _only_method(module: ModuleType) -> type[Method]:
    from benchmark.method.interface import Method

    own = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Method) and member.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise ValueError(f"it defines {len(own)} methods, and a file holds exactly one")
    return own[0]


def check_names(names: Iterable[str]) -> None:
    """Raises UsageError if one of them names no method."""
    known = method_names()
    for name in names:
        if name not in known:
            raise unknown("method", name, known)


def get_method(name: str) -> type[Method]:
    """A method's class by name. Raises UsageError for an unknown or broken one."""
    found = registry()
    if name in found.broken:
        raise UsageError(f"method {name!r} cannot be loaded: {found.broken[name]}")
    if name not in found.methods:
        raise unknown("method", name, found.methods)
    return found.methods[name]

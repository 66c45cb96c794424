"""Runs code of the user's own that a study names: never what a record alone names."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark import own_files
from benchmark.errors import UsageError, first_line


def load_function(name: str, sha256: str | None = None) -> Callable[..., Any]:
    """The function of a known name, from a file with that hash (by default the one it had at the study's loading).

    A file is run anew at each call, so nothing that it keeps reaches the next trial; it stands alone, its folder is no
    place to import from. Raises UsageError where it is changed, fails, or has no such function.
    """
    source, path = own_files.read(name, sha256), own_files.get(name).path
    home, _, attribute = name.rpartition(":")
    try:
        module = _run(source, path, home) if home.endswith(".py") else importlib.import_module(home)
        function: Callable[..., Any] | object = getattr(module, attribute)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{name} cannot be loaded: {explained(error, path)}") from None
    if not callable(function):
        raise UsageError(f"{name} is a {type(function).__name__}, not a function")
    return function


def explained(error: BaseException, path: Path) -> str:
    """An error of the user's code in one line, with its innermost place in their file."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {first_line(error)} (line {error.lineno} of {error.filename})"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{type(error).__name__}: {first_line(error)}" + (f" ({path.name}:{lines[-1]})" if lines else "")


def _run(source: bytes, path: Path, home: str) -> ModuleType:
    module = ModuleType("deadweight_own_" + own_files.slug(home).replace("-", "_").replace(".", "_"))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where classes look up the names of their own file
    exec(compile(source, str(path), "exec"), vars(module))
    return module

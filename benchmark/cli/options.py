"""What several commands share: options, and the console they write to."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmark.data.names import ENVIRONMENT


def _studies(beginning: str) -> list[str]:
    from benchmark.experiment.names import study_names

    return [name for name in study_names() if name.startswith(beginning)]


def _methods(beginning: str) -> list[str]:
    from benchmark.method.registry import method_names

    return [name for name in method_names() if name.startswith(beginning)]


DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help=f"The folder of datasets; by default ${ENVIRONMENT}, else data/."),
]

StudyName = Annotated[
    str,
    typer.Argument(help="A study's name (see `deadweight list studies`) or a .toml file.", autocompletion=_studies),
]
MethodName = Annotated[
    str,
    typer.Argument(help="A method's name (see `deadweight list methods`).", autocompletion=_methods),
]
RecordKey = Annotated[str, typer.Argument(help="The record's key, or its first digits.")]
Results = Annotated[Path, typer.Option(help="The folder that holds a folder of results per study.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

WIDTH = None if sys.stdout.isatty() else 150
console = Console(width=WIDTH, soft_wrap=True, markup=False, highlight=False)


@contextlib.contextmanager
def quieted(quiet: bool) -> Iterator[None]:
    """A context in which the console, if so asked, prints nothing."""
    console.quiet = quiet
    try:
        yield
    finally:
        console.quiet = False


def use_data_root(root: Path | None) -> None:
    """Makes a folder this process's data root; None leaves it as it is."""
    if root is not None:
        os.environ[ENVIRONMENT] = str(root.expanduser().absolute())


def print_json(content: Any) -> None:
    """Prints what another program reads."""
    print(json.dumps(content, indent=1, ensure_ascii=False))

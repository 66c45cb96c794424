"""What several commands share: options, and the console they write to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmark.data import stored

DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help=f"The folder of datasets; by default ${stored.ENVIRONMENT}, else data/."),
]

StudyName = Annotated[str, typer.Argument(help="A study's name (see `deadweight list studies`) or a .toml file.")]
Results = Annotated[Path, typer.Option(help="The folder that holds a folder of results per study.")]

WIDTH = None if sys.stdout.isatty() else 150
console = Console(width=WIDTH)


def use_data_root(root: Path | None) -> None:
    """Makes a folder this process's data root; None leaves it as it is."""
    if root is not None:
        os.environ[stored.ENVIRONMENT] = str(root.expanduser().absolute())

"""The command that lists the keys of a study's file."""

from __future__ import annotations

from rich.table import Table

from benchmark.cli.options import console


def show_keys() -> None:
    """Show every key that a study's TOML file may have, with its type, default and meaning.

    Example: deadweight keys
    """
    from benchmark.experiment.keys import keys

    table = Table("key", "type", "default", "meaning", box=None)
    for row in keys():
        table.add_row(row.key, row.type, row.default, row.meaning)
    console.print(table)
    console.print("`deadweight new study NAME` writes a study with all of them")

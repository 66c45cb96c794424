"""The commands that list methods and studies, and help to write a method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from benchmark.cli.options import console
from benchmark.errors import unknown
from benchmark.experiment.study import load_study, study_names
from benchmark.method.registry import card, get_method, registry


def list_(
    what: Annotated[str, typer.Argument(help="methods or studies.")] = "methods",
    long: Annotated[bool, typer.Option("--long", help="With methods: show each one's card.")] = False,
) -> None:
    """Show the methods or the studies there are.

    Example: deadweight list methods --long
    """
    if what == "methods":
        _list_methods(long)
    elif what == "studies":
        _list_studies()
    else:
        raise unknown("list", what, ("methods", "studies"))


def _list_methods(long: bool) -> None:
    found = registry()
    if long:
        for name, method in sorted(found.methods.items()):
            console.print(f"[bold]{name}[/bold]: {method.title}, knob {method.knob or '–'}, {escape(method.reference)}")
            console.print(card(method) + "\n", markup=False, highlight=False)
        return
    table = Table("method", "title", "knob", "reference", box=None)
    for name, method in sorted(found.methods.items()):
        table.add_row(name, method.title, method.knob or "–", method.reference)
    console.print(table)
    for name, reason in sorted(found.broken.items()):
        console.print(f"broken: {name}: {reason}", markup=False, style="red")
    console.print(f"{len(found.methods)} methods, {len(found.broken)} broken; `deadweight run STUDY` compares them")


def _list_studies() -> None:
    table = Table("study", "title", "trials", box=None)
    for name in study_names():
        study = load_study(name)
        table.add_row(name, study.title, str(study.size))
    console.print(table)
    console.print("`deadweight run STUDY --dry-run` shows the trials of one")


def new(
    name: Annotated[str, typer.Argument(help="The method's name: lower-case letters, digits and _.")],
    package: Annotated[bool, typer.Option("--package", help="An installable package here, not a file there.")] = False,
) -> None:
    """Write the starting point of a new method: a file in baselines/, or a package of its own.

    Example: deadweight new my_method
    """
    import baselines
    from benchmark.method.authoring import new_method, new_package

    if package:
        target = new_package(name, Path())
        console.print(f"wrote {target}/{name}.py and {target}/pyproject.toml")
        console.print(f"next: pip install ./{target}, edit {name}.py, deadweight check {name}")
    else:
        target = new_method(name, Path(baselines.__file__).parent)
        console.print(f"wrote {target}\nnext: edit it, then deadweight check {name}", soft_wrap=True)


def check(name: Annotated[str, typer.Argument(help="A method's name (see `deadweight list methods`).")]) -> None:
    """Run the conformance tests on one method and explain what fails.

    Example: deadweight check implicit
    """
    from benchmark.runner.conformance import CHECKS, check_rule

    get_method(name)
    failures = 0
    with console.status(f"checking {name}"):
        for rule in CHECKS:
            problem = check_rule(name, rule)
            failures += problem is not None
            console.print(f"{'✗' if problem else '✓'} {rule}" + (f": {problem}" if problem else ""), markup=False)
    if failures:
        console.print(
            f"{name} breaks {failures} of {len(CHECKS)} rules of the interface (benchmark/method/interface.py)"
        )
        raise typer.Exit(1)
    console.print(f"{name} conforms; next: name it under [methods] of a study and deadweight run that", markup=False)

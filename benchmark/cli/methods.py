"""The commands that list methods and studies, and help to write a method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmark.cli.options import MethodName, console
from benchmark.errors import unknown


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
    from benchmark.method.registry import card, registry

    found = registry()
    if long:
        for name, method in sorted(found.methods.items()):
            console.print(name, style="bold", end="")
            console.print(f": {method.title}, knob {method.knob or '–'}, {method.reference}\n{card(method)}\n")
        return
    table = Table("method", "title", "knob", "reference", box=None)
    for name, method in sorted(found.methods.items()):
        table.add_row(name, method.title, method.knob or "–", method.reference)
    console.print(table)
    for name, reason in sorted(found.broken.items()):
        console.print(f"broken: {name}: {reason}", style="red")
    console.print(f"{len(found.methods)} methods, {len(found.broken)} broken; `deadweight run STUDY` compares them")


def _list_studies() -> None:
    from benchmark.experiment.study import load_study, study_names

    table = Table("study", "title", "tasks", "methods", "conditions", "seeds", "tuned", box=None)
    for name in study_names():
        study = load_study(name)
        counts = (study.tasks, study.methods, study.tables.keys() - study.methods.keys(), study.seeds)
        tuned = f"{len(study.tuning.candidates['dense'])} candidates" if study.tuning else "–"
        table.add_row(name, study.title, *(str(len(counted) or "–") for counted in counts), tuned)
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
        console.print(f"wrote {target}\nnext: edit it, then deadweight check {name}")


def check(name: MethodName) -> None:
    """Run the conformance tests on one method and explain what fails.

    Example: deadweight check implicit
    """
    from benchmark.method.registry import check_names, get_method

    check_names([name])
    get_method(name)

    from benchmark.runner.conformance import CHECKS, check_rule

    failures = 0
    with console.status(f"checking {name}"):
        for rule in CHECKS:
            problem = check_rule(name, rule)
            failures += problem is not None
            console.print(f"{'✗' if problem else '✓'} {rule}" + (f": {problem}" if problem else ""))
    if failures:
        console.print(
            f"{name} breaks {failures} of {len(CHECKS)} rules of the interface (benchmark/method/interface.py)"
        )
        raise typer.Exit(1)
    console.print(f"{name} conforms; next: name it under [methods] of a study and deadweight run that")

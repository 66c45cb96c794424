"""The commands that list what there is, and help to write a method."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from benchmark.cli.options import AsJson, MethodName, console, print_json
from benchmark.errors import UsageError, unknown


def list_(
    what: Annotated[str, typer.Argument(help="methods, studies, networks or datasets.")] = "methods",
    long: Annotated[bool, typer.Option("--long", help="With methods: show each one's card.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the methods, studies, networks or datasets there are.

    Example: deadweight list methods --long
    """
    from benchmark.cli import catalogue
    from benchmark.networks import names

    shown = {
        "methods": (_methods, partial(_list_methods, long)),
        "studies": (_studies, _list_studies),
        "networks": (names.listed, catalogue.list_networks),
        "datasets": (catalogue.dataset_table, catalogue.list_datasets),
    }
    if what not in shown:
        raise unknown("list", what, shown)
    table, show = shown[what]
    if as_json:
        print_json(table())
    else:
        show()


def _methods() -> dict[str, Any]:
    """By name what the table of methods shows; in `broken` why the others cannot be loaded."""
    from benchmark.method.registry import registry

    found = registry()
    fields = ("title", "knob", "reference", "version", "base")
    methods = {name: {key: getattr(found.methods[name], key) for key in fields} for name in sorted(found.methods)}
    return {"methods": methods, "broken": found.broken}


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


def _studies() -> dict[str, dict[str, Any]]:
    """By name what the table of studies shows."""
    from benchmark.experiment.names import study_names
    from benchmark.experiment.study import load_study

    return {
        name: {
            "title": study.title,
            "tasks": len(study.tasks),
            "methods": len(study.methods),
            "conditions": len(study.tables) - len(study.methods),
            "seeds": len(study.seeds),
            "candidates": len(study.tuning.candidates["dense"]) if study.tuning else 0,
        }
        for name in study_names()
        for study in [load_study(name)]
    }


def _list_studies() -> None:
    table = Table("study", "title", "tasks", "methods", "conditions", "seeds", "tuned", box=None)
    for name, study in _studies().items():
        title, *counts, candidates = study.values()
        tuned = f"{candidates} candidates" if candidates else "–"
        table.add_row(name, title, *(str(count or "–") for count in counts), tuned)
    console.print(table)
    console.print("`deadweight run STUDY --dry-run` shows the trials of one")


def new(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[study] NAME", help="The method's or study's name: lower-case letters, digits and _."),
    ],
    package: Annotated[
        bool, typer.Option("--package", help="An installable package here, not a file in baselines/.")
    ] = False,
) -> None:
    """Write the starting point of a new method, or of a new study with every key explained.

    A method is a file in baselines/, or with --package, and where the suite is no checkout, a package in this folder.

    Example: deadweight new my_method
    """
    match words:
        case ["study", name] if not package:
            _new_study(name)
        case [name] if name != "study":
            _new_method(name, package)
        case _:
            raise UsageError("give the name of a method, or `study` and the name of a study")


def _new_method(name: str, package: bool) -> None:
    import baselines
    from benchmark.method.authoring import in_checkout, new_method, new_package

    if package or not in_checkout():
        target = new_package(name, Path())
        console.print(f"wrote {target}/src/{name}.py and {target}/pyproject.toml")
        console.print(f"next: pip install -e ./{target}, edit {target}/src/{name}.py, then deadweight check {name}")
    else:
        target = new_method(name, Path(baselines.__file__).parent)
        console.print(f"wrote {target}\nnext: edit it, then deadweight check {name}")


def _new_study(name: str) -> None:
    from benchmark.experiment.authoring import new_study

    target = new_study(name, Path())
    console.print(f"wrote {target}\nnext: edit it, then deadweight run {target} --dry-run")


def check(
    name: MethodName,
    whole: Annotated[bool, typer.Option("--traceback", help="Also print the whole traceback of every error.")] = False,
) -> None:
    """Run the conformance tests on one method and explain what fails.

    Example: deadweight check implicit
    """
    from benchmark.method.registry import check_names, get_method

    check_names([name])
    get_method(name)

    from benchmark.runner.conformance import CHECKS, check_rule

    if whole:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("benchmark").setLevel(logging.DEBUG)
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

"""The command line."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.cli.compare import compare_records
from benchmark.cli.data import DataRoot, get_data, use_data_root
from benchmark.cli.dynamics import simulate_dynamics
from benchmark.cli.networks import export_network, reduce_own
from benchmark.cli.plot import plot_study
from benchmark.cli.trajectories import follow_channels
from benchmark.errors import UsageError, unknown
from benchmark.experiment.record import FINISHED, Record, Store
from benchmark.experiment.study import Slot, Study, load_study, study_names
from benchmark.experiment.trial import Trial
from benchmark.method.registry import card, get_method, registry
from benchmark.runner.in_process import Resources
from benchmark.runner.run import WIDTH, locked, open_points, run_with_progress
from benchmark.site.build import publish_site
from benchmark.site.verify import verify_site

app = typer.Typer(
    help="Which method finds the most dead weight in a neural network, at which accuracy?\n\n"
    "Example: deadweight run digits && deadweight plot digits",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(width=WIDTH)

app.command("compare")(compare_records)
app.command("data")(get_data)
app.command("dynamics")(simulate_dynamics)
app.command("export")(export_network)
app.command("plot")(plot_study)
app.command("publish")(publish_site)
app.command("reduce")(reduce_own)
app.command("trajectories")(follow_channels)
app.command("verify")(verify_site)

StudyName = Annotated[str, typer.Argument(help="A study's name (see `deadweight list studies`) or a .toml file.")]
Results = Annotated[Path, typer.Option(help="The folder that holds a folder of results per study.")]


def main() -> None:
    """The command `deadweight`: bad input is one line and exit code 2, an interrupt exit code 130."""
    try:
        app()
    except UsageError as error:
        Console(stderr=True, soft_wrap=True).print(f"deadweight: {error}", markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command("list")
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


@app.command()
def run(
    study: StudyName = "digits",
    results: Results = Path("results"),
    cpus_per_trial: Annotated[int, typer.Option(min=1, help="CPU cores, and torch threads, of each trial.")] = 1,
    gpus_per_trial: Annotated[float, typer.Option(min=0, help="GPUs of each trial; 0.5 lets two share one.")] = 0.0,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster, HOST:PORT or auto.")] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Run here, one by one, without Ray.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also run failed trials again.")] = False,
    data_root: DataRoot = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and stop.")] = False,
) -> None:
    """Run every trial of a study that has no record yet. Stop it at any time and run it again to go on.

    Example: deadweight run digits
    """
    use_data_root(data_root)
    plan = load_study(study)
    store = Store(results / plan.name)
    if dry_run:
        _show_plan(study, plan, open_points(plan, store, retry_failed))
        return
    with locked(results / plan.name):
        store.mend()
        todo = open_points(plan, store, retry_failed)
        if todo:
            run_with_progress(plan, todo, store, Resources(cpus_per_trial, gpus_per_trial, address), in_process)
        _summarise(study, plan.size, plan.own(store.load()), ran=len(todo), path=store.path)


def _show_plan(study: str, plan: Study, todo: list[Trial | Slot]) -> None:
    planned = Counter((t.task.name, t.label) for t in plan.remaining([], retry_failed=False))
    left = Counter((t.task.name, t.label) for t in todo)
    table = Table("task", "method", "trials", "to run", title=plan.title, box=None)
    for (task, label), count in planned.items():
        table.add_row(task, label, str(count), str(left[task, label]))
    console.print(table)
    console.print(
        f"{len(todo)} of {plan.size} trials to run, {plan.protocol.epochs} epochs each; "
        f"`deadweight run {study}` starts them"
    )


def _summarise(study: str, trials: int, records: list[Record], ran: int, path: Path) -> None:
    counts = Counter(r.status for r in records)
    outcome = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    console.print(f"{study}: ran {ran} trials; {len(records)} of {trials} have a record ({outcome}) in {path}")
    broken = [r for r in records if r.status not in FINISHED]
    for record in broken[:5]:
        console.print(f"  {record.status}: {record.label}, seed {record.seed}: {record.error}", markup=False)
    if broken:
        console.print(f"`deadweight run {study} --retry-failed` runs these {len(broken)} again")
    console.print(f"next: deadweight plot {study}")


@app.command()
def status(study: StudyName = "digits", results: Results = Path("results")) -> None:
    """Show how far a study is, by method.

    Example: deadweight status digits
    """
    plan = load_study(study)
    store = Store(results / plan.name)
    every = store.load()
    records = plan.own(every)
    by_label = Counter((r.label, r.status) for r in records)
    statuses = sorted({r.status for r in records}, key=lambda s: (s not in FINISHED, s))
    table = Table("method", *statuses, "left", title=plan.title, box=None)
    for label, total in Counter(t.label for t in plan.remaining([], retry_failed=False)).items():
        counts = [by_label[label, s] for s in statuses]
        table.add_row(label, *(str(c) if c else "·" for c in counts), str(total - sum(counts)))
    console.print(table)
    left = plan.size - len(records)
    stale = len(every) - len(records)
    console.print(
        f"{len(records)} of {plan.size} trials have a record in {store.path}"
        + (f"; {stale} records there are of trials the study no longer has" if stale else "")
    )
    console.print(f"next: deadweight {'run' if left else 'plot'} {study}")


@app.command()
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


@app.command()
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
        console.print(f"{name} breaks {failures} of {len(CHECKS)} rules of the interface (benchmark/method/interface.py)")
        raise typer.Exit(1)
    console.print(f"{name} conforms; next: name it under [methods] of a study and deadweight run that", markup=False)

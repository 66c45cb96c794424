"""The command line.

A command imports what it uses when it runs, and torch once its input is right: help and usage errors come at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from benchmark.cli.claims import judge_claims
from benchmark.cli.compare import compare_records
from benchmark.cli.data import get_data
from benchmark.cli.dynamics import follow_channels, simulate_dynamics
from benchmark.cli.keys import show_keys
from benchmark.cli.merge import merge_records
from benchmark.cli.methods import check, list_, new
from benchmark.cli.networks import export_network, reduce_own
from benchmark.cli.plot import plot_study
from benchmark.cli.reproduce import reproduce
from benchmark.cli.site import publish_site, verify_site
from benchmark.cli.studies import run, status
from benchmark.errors import UsageError

BadCall = typer.BadParameter.__bases__[0]  # whatever is wrong in a command line; typer exports but this kind of it


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"deadweight {version('deadweight')}")
        raise typer.Exit


app = typer.Typer(
    help="Which method finds the most dead weight in a neural network, at which accuracy?\n\n"
    "Example: deadweight run digits && deadweight plot digits",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("check")(check)
app.command("claims")(judge_claims)
app.command("compare")(compare_records)
app.command("data")(get_data)
app.command("dynamics")(simulate_dynamics)
app.command("export")(export_network)
app.command("keys")(show_keys)
app.command("list")(list_)
app.command("merge")(merge_records)
app.command("new")(new)
app.command("plot")(plot_study)
app.command("publish")(publish_site)
app.command("reduce")(reduce_own)
app.command("reproduce")(reproduce)
app.command("run")(run)
app.command("status")(status)
app.command("trajectories")(follow_channels)
app.command("verify")(verify_site)


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version, and stop.")
    ] = False,
) -> None:
    """What the command takes before the name of one of its commands."""


def main() -> None:
    """The command `deadweight`: bad input is one line and exit code 2, an interrupt exit code 130."""
    try:
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        _refuse(str(error))
    except BadCall as error:
        command = error.ctx.command_path if error.ctx else "deadweight"
        if len(sys.argv) == 1:
            error.show()  # the help
            sys.exit(2)
        _refuse(f"{error.format_message()}; see `{command} --help`".replace(".;", ";").replace("?;", "?"))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)


def _refuse(line: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"deadweight: {line}", markup=False, highlight=False)
    sys.exit(2)

"""The command that simulates the theory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import matplotlib as mpl
import pandas as pd
import torch
import typer
from rich.console import Console

from benchmark.errors import UsageError
from benchmark.files import write_whole

if TYPE_CHECKING:
    from benchmark.dynamics.norm_figures import Drawn
    from benchmark.dynamics.rates import Rate

SEED = 0
console = Console()


def simulate_dynamics(
    out: Annotated[Path, typer.Option(help="The folder for figures, curves and the table of rates.")] = Path(
        "results/dynamics"
    ),
) -> None:
    """Show why Adam with L2 silences channels: simulate every optimiser on g = λw and compare with the closed forms.

    Example: deadweight dynamics --out results/dynamics
    """
    from benchmark.dynamics.rates import measure_rates
    from benchmark.dynamics.rates_table import table
    from benchmark.figures.pareto import STYLE, write_figure

    _check_writable(out)
    generator = torch.Generator().manual_seed(SEED)
    with console.status("measuring rates"):
        rates = measure_rates(generator)
    made = []
    with console.status("simulating and drawing") as status, mpl.rc_context(STYLE):
        for name, figure, curves in _draw_all(rates, generator):
            made += write_figure(figure, curves, out / name)
            status.update(f"simulating and drawing: {name} is done")
    frame, markdown = table(rates)
    write_whole(out / "rates.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    write_whole(out / "rates.md", markdown.encode())
    made += [out / "rates.csv", out / "rates.md"]
    _summarise(frame, len(made), out)


def _draw_all(rates: list[Rate], generator: torch.Generator) -> Iterator[Drawn]:
    from benchmark.dynamics.cycle_figures import draw_boundary, draw_learning_rate_drop, draw_oscillation
    from benchmark.dynamics.norm_figures import draw_decoupled, draw_norm

    start = torch.randn(16, generator=generator, dtype=torch.float64)
    start /= start.norm()
    yield draw_norm(start, generator)
    yield draw_oscillation()
    yield draw_boundary(rates)
    yield draw_learning_rate_drop(start, generator)
    yield draw_decoupled(start)


def _check_writable(out: Path) -> None:
    """Raises UsageError before the simulations rather than after."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}") from None


def _summarise(frame: pd.DataFrame, made: int, out: Path) -> None:
    close = int((frame["relative error"].abs() <= 0.01).sum())
    console.print(
        f"{close} of {len(frame)} closed forms hold within 1 %; the others are explained in {out / 'rates.md'}",
        soft_wrap=True,
    )
    console.print(f"wrote {made} files under {out}; start with {out / 'norm.png'}", soft_wrap=True)

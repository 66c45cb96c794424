"""The commands that show why channels die: simulated, and in a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import DataRoot, RecordKey, Results, StudyName, console, use_data_root
from benchmark.errors import UsageError
from benchmark.files import check_writable, write_whole

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.dynamics.rates import Rate
    from benchmark.figures.drawing import Drawing

SEED = 0
CHANNELS = 10


def simulate_dynamics(
    out: Annotated[Path, typer.Option(help="The folder for figures, curves and the table of rates.")] = Path(
        "results/dynamics"
    ),
) -> None:
    """Show why Adam with L2 silences channels: simulate every optimiser on g = λw and compare with the closed forms.

    Example: deadweight dynamics --out results/dynamics
    """
    import matplotlib as mpl
    import torch

    from benchmark.dynamics.rates import measure_rates
    from benchmark.dynamics.rates_table import table
    from benchmark.figures.style import STYLE

    check_writable(out)
    generator = torch.Generator().manual_seed(SEED)
    with console.status("measuring rates"):
        rates = measure_rates(generator)
    made = []
    with console.status("simulating and drawing") as status, mpl.rc_context(STYLE):
        for drawing in _draw_all(rates, generator):
            made += drawing.write(out)
            status.update(f"simulating and drawing: {drawing.name} is done")
    frame, markdown = table(rates)
    write_whole(out / "rates.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    write_whole(out / "rates.md", markdown.encode())
    made += [out / "rates.csv", out / "rates.md"]
    _summarise(frame, len(made), out)


def _draw_all(rates: list[Rate], generator: torch.Generator) -> Iterator[Drawing]:
    import torch

    from benchmark.dynamics.cycle_figures import draw_boundary, draw_learning_rate_drop, draw_oscillation
    from benchmark.dynamics.norm_figures import draw_decoupled, draw_norm

    start = torch.randn(16, generator=generator, dtype=torch.float64)
    start /= start.norm()
    yield draw_norm(start, generator)
    yield draw_oscillation()
    yield draw_boundary(rates)
    yield draw_learning_rate_drop(start, generator)
    yield draw_decoupled(start)


def _summarise(frame: pd.DataFrame, made: int, out: Path) -> None:
    close = int((frame["relative error"].abs() <= 0.01).sum())
    console.print(
        f"{close} of {len(frame)} closed forms hold within 1 %; the others are explained in {out / 'rates.md'}"
    )
    console.print(f"wrote {made} files under {out}; start with {out / 'norm.png'}")


def follow_channels(
    study: StudyName,
    key: RecordKey,
    results: Results = Path("results"),
    data_root: DataRoot = None,
) -> None:
    """Train a record's trial again and draw how channels die: in the run, and under the L2 penalty's gradient alone.

    Example: deadweight trajectories digits 0a1b2c
    """
    from benchmark.experiment.store import Store, find
    from benchmark.experiment.study import load_study

    use_data_root(data_root)
    plan = load_study(study, results)
    record = find(Store(results / plan.name), key)

    import pandas as pd
    import torch

    from benchmark.dynamics.trajectories import curve, follow
    from benchmark.figures.trajectories import draw

    trial = record.trial
    torch.set_num_threads(record.provenance.get("threads", 1))
    try:
        with console.status("training") as status:
            paths, history = follow(trial, CHANNELS, status.update)
    except ValueError as error:
        raise UsageError(f"no trajectories of {record.label} {record.short_key}: {error}") from None
    if history.loss != record.history["loss"][: len(history.loss)]:
        console.print("the loss is not the record's, so this is another run of the trial: hardware or versions differ")
    curves = pd.concat([curve(path) for path in paths], ignore_index=True)
    drawing = draw(curves, record)
    made = drawing.write(results / plan.name / "figures")
    console.print(f"{drawing.caption}\nwrote {made[0]}")

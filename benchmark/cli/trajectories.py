"""The command that follows dying channels through a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from benchmark.cli.data import DataRoot, use_data_root
from benchmark.cli.networks import find
from benchmark.errors import UsageError
from benchmark.experiment.record import Store
from benchmark.experiment.study import load_study
from benchmark.experiment.trial import Trial

CHANNELS = 10
console = Console()


def follow_channels(
    study: Annotated[str, typer.Argument(help="A study's name or .toml file.")],
    key: Annotated[str, typer.Argument(help="The record's key, or its first digits.")],
    results: Annotated[Path, typer.Option(help="The folder that holds a folder of results per study.")] = Path(
        "results"
    ),
    data_root: DataRoot = None,
) -> None:
    """Train a record's trial again and draw how channels die: in the run, and under the L2 penalty's gradient alone.

    Example: deadweight trajectories digits 0a1b2c
    """
    import matplotlib as mpl
    import pandas as pd

    from benchmark.dynamics.trajectories import follow
    from benchmark.figures.style import STYLE, write_figure
    from benchmark.figures.trajectories import curve, describe, draw

    use_data_root(data_root)
    plan = load_study(study)
    record = find(Store(results / plan.name), key)
    trial = Trial(**{name: getattr(record, name) for name in Trial.model_fields})
    torch.set_num_threads(record.provenance.get("threads", 1))
    try:
        with console.status("training") as status:
            paths, history = follow(trial, CHANNELS, status.update)
    except ValueError as error:
        raise UsageError(f"no trajectories of {record.label} {record.key[:8]}: {error}") from None
    if history.loss != record.history["loss"][: len(history.loss)]:
        console.print("the loss is not the record's, so this is another run of the trial: hardware or versions differ")
    curves = pd.concat([curve(path) for path in paths], ignore_index=True)
    stem = results / plan.name / "figures" / f"trajectories-{record.key[:8]}"
    with mpl.rc_context(STYLE):
        made = write_figure(draw(curves, record), curves, stem)
    console.print(f"{describe(curves, record)}\nwrote {made[0]}", soft_wrap=True)

"""The commands that write reduced networks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmark.cli.options import DataRoot, Results, StudyName, console, use_data_root
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from benchmark.experiment.record import Record
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import Study

Format = Annotated[str, typer.Option("--format", help="state_dict, torch (torch.export) or onnx.")]
EXAMPLES = 16  # inputs on which a removal is proven


def export_network(
    study: StudyName,
    key: Annotated[str, typer.Argument(help="The record's key, or its first digits; none with --accuracy.")] = "",
    accuracy: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="In place of a key: the smallest network that validates at least so well."),
    ] = None,
    form: Format = "state_dict",
    out: Annotated[Path | None, typer.Option(help="What to write; by default METHOD-KEY in this folder.")] = None,
    results: Results = Path("results"),
    data_root: DataRoot = None,
) -> None:
    """Write a record's reduced network: as `run --keep` kept it, or trained again; compare it, and check the copy.

    Trained again it is the same network on the machine and with the versions of the record; elsewhere it may not be,
    and what differs is said. A network of your own is built by your code, which this runs.

    Example: deadweight export digits --accuracy 0.95 --format onnx
    """
    use_data_root(data_root)
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import load_study

    plan = load_study(study, results)
    store = Store(results / plan.name)
    record = _named(plan, store, key, accuracy)
    trial = record.trial

    from benchmark.analysis.stages import start_of, tell
    from benchmark.networks.export import check_target, export

    target = out or _default_target(record, form)
    check_target(target, form)

    from benchmark.cli.home import bring_home, threads
    from benchmark.runner.kept import dense_arguments
    from benchmark.runner.trial import examples, untrained

    data = examples(trial)
    before = untrained(trial.task, data, trial.seed)
    with threads(record.provenance.get("threads", 1)):
        module, found = bring_home(record, store)
        images, labels = data.pixels(data.test.images), data.test.labels
        network = None if trial.task.network_sha256 else dense_arguments(trial)
        made = export(module, target, form, images, labels, network)
    _show_costs(before, module, data.shape)
    console.print(tell(record, start_of(record, store.load())))
    same = "as in the record" if made.accuracy == record.test_accuracy else f"{record.test_accuracy:.4f} in the record"
    console.print(
        f"wrote {made.path}, {found}: {record.params} of {record.params_dense} parameters, test accuracy "
        f"{made.accuracy:.4f} {same}, logits within {made.deviation:.1e}"
    )


def _default_target(record: Record, form: str) -> Path:
    from benchmark.networks.export import SUFFIXES

    label = re.sub(r"[^\w.+-]+", "-", record.label).strip("-.")  # of a record that anybody may have written
    return Path(f"{label}-{record.short_key}" + SUFFIXES.get(form, ""))


def _named(plan: Study, store: Store, key: str, accuracy: float | None) -> Record:
    """The record with a key, or of the smallest network that validates so well. Raises UsageError."""
    from benchmark.experiment.store import find

    if bool(key) == (accuracy is not None):
        raise UsageError("give the key of a record, or --accuracy for the smallest network that validates so well")
    if accuracy is None:
        return find(store, key)
    from benchmark.cli.choice import choose

    return choose(plan, store, accuracy)


def _show_costs(before: nn.Module, after: nn.Module, shape: tuple[int, ...]) -> None:
    """Prints what a forward pass costs before and after, measured now, with nothing else of ours running."""
    import torch

    from benchmark.networks.latency import BATCHES, latencies, peak_activation_memory

    table = Table("", "before", "after", "ratio", box=None)
    with console.status("timing both networks"):
        old, new = (latencies(module, shape, seconds=0.3) for module in (before, after))
    for name, seconds in old.items():
        values = (f"{1e3 * seconds:.3f} ms", f"{1e3 * new[name]:.3f} ms", f"{seconds / new[name]:.2f}")
        table.add_row(f"latency, {name}", *values)
    images = torch.zeros(BATCHES[-1], *shape)
    peaks = [peak_activation_memory(module, images) for module in (before, after)]
    memory = [f"{peak / 2**20:.2f} MiB" for peak in peaks]
    table.add_row(f"peak activations, batch {BATCHES[-1]}", *memory, f"{peaks[0] / peaks[1]:.2f}")
    console.print(table)


def reduce_own(
    factory: Annotated[str, typer.Argument(help="MODULE:FUNCTION that returns your network.")],
    threshold: Annotated[float, typer.Option(min=0, help="ξ: channels with a smaller incoming 2-norm go.")],
    shape: Annotated[str, typer.Option(help="One input's shape, for example 3,32,32.")],
    checkpoint: Annotated[Path | None, typer.Option(help="A file of weights: a state dict.")] = None,
    form: Format = "state_dict",
    out: Annotated[Path, typer.Option(help="What to write.")] = Path("reduced"),
) -> None:
    """Remove the channels of your own network whose incoming weights are below a threshold, prove it, write the rest.

    Example: deadweight reduce my_nets:vgg --checkpoint vgg.pt --threshold 1e-6 --shape 3,32,32
    """
    sizes = _shape(shape)

    import torch

    from benchmark.networks.export import check_target, export
    from benchmark.networks.reduce import build_network, reduce_network

    check_target(out, form)
    network = build_network(factory, checkpoint)
    try:
        images = torch.randn(EXAMPLES, *sizes, generator=torch.Generator().manual_seed(0))
    except (RuntimeError, TypeError):  # the second where a size is no number of torch's
        raise UsageError(f"--shape {shape!r}: {EXAMPLES} inputs of that shape do not fit in memory") from None
    done = reduce_network(network, threshold, images)
    made = export(done.removal.module, out, form, images)
    before, after = done.removal.channels, done.removal.channels_left
    for name in before:
        note = f", kept whole: {done.removal.kept_whole[name]}" if name in done.removal.kept_whole else ""
        console.print(f"  {name}: {after[name]} of {before[name]} channels{note}")
    _show_costs(network, done.removal.module, sizes)
    console.print(
        f"wrote {made.path}: {done.parameters[1]} of {done.parameters[0]} parameters, {done.macs[1]} of {done.macs[0]} "
        f"multiply-accumulates; silencing changed logits by {done.change:.1e}, removal by {done.removal.deviation:.1e} "
        f"(float64), writing by {made.deviation:.1e}, so where its accuracy falls it is by silencing: a smaller "
        "--threshold silences less"
    )


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UsageError(f"--shape {text!r} is no list of sizes such as 3,32,32")
    return shape

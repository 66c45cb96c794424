"""The commands that write reduced networks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
REPRODUCED = ("status", "val_accuracy", "test_accuracy", "channels_left", "params", "macs")
PLACE = (
    "device",
    "cpu",
    "threads",
    "torch",
    "numpy",
    "deadweight",
    "commit",
    "dirty",
    "data",
)  # what results depend on


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
    """Write a record's reduced network: train it again, compare it with the record, and check the written copy.

    It is the same network on the machine and with the versions of the record; elsewhere it may not be, and what differs
    is said. A network of your own is built by your code, which this runs.

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

    label = re.sub(r"[^\w.+-]+", "-", record.label).strip("-.")  # of a record that anybody may have written
    target = out or Path(f"{label}-{record.short_key}" + {"torch": ".pt2", "onnx": ".onnx"}.get(form, ""))
    check_target(target, form)

    from benchmark.runner.trial import examples, untrained

    data, task = examples(trial), trial.task
    network = {
        "network": task.network, "shape": data.shape, "classes": data.classes, "seed": trial.seed,
        "widths": task.widths, "activation": task.activation, "norm": task.norm,
        **({"features": True} if task.features else {}),
    }  # fmt: skip
    before = untrained(task, data, trial.seed)
    with _threads(record.provenance.get("threads", 1)):
        module = _train_again(record)
        images, labels = data.pixels(data.test.images), data.test.labels
        made = export(module, target, form, images, labels, None if task.network_sha256 else network)
    if made.accuracy != record.test_accuracy:
        raise UsageError(f"{made.path} has accuracy {made.accuracy}, its record {record.test_accuracy}")
    _show_costs(before, module, data.shape)
    console.print(tell(record, start_of(record, store.load())))
    console.print(
        f"wrote {made.path}: {record.params} of {record.params_dense} parameters, test accuracy {made.accuracy:.4f} as "
        f"in the record, logits within {made.deviation:.1e}"
    )


def _named(plan: Study, store: Store, key: str, accuracy: float | None) -> Record:
    """The record with a key, or of the smallest network that validates so well. Raises UsageError."""
    from benchmark.experiment.store import find

    if bool(key) == (accuracy is not None):
        raise UsageError("give the key of a record, or --accuracy for the smallest network that validates so well")
    if accuracy is None:
        return find(store, key)
    from benchmark.cli.choice import choose

    return choose(plan, store, accuracy)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """A context in which torch has so many threads: sums in another order are other sums."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_again(record: Record) -> nn.Module:
    """The reduced network of a record's trial. Raises UsageError where the trial gives another record here."""
    from benchmark.runner.environment import software
    from benchmark.runner.trial import run_and_keep, train_base

    trial = record.trial
    with console.status(f"training {record.label} again, {record.protocol.epochs} epochs"):
        again, module = run_and_keep(trial, train_base(trial) if trial.base else None, provenance=software())
    other = [name for name in REPRODUCED if getattr(again, name) != getattr(record, name)]
    if module is None or other:
        results = ", ".join(f"{name} {getattr(again, name)}, not {getattr(record, name)}" for name in other)
        raise UsageError(f"here the trial gives {results}; {_other_place(record.provenance, again.provenance)}")
    return module


def _other_place(before: dict[str, Any], now: dict[str, Any]) -> str:
    places = [f"{name} {now.get(name)}, not {before.get(name)}" for name in PLACE if now.get(name) != before.get(name)]
    return f"here is {', '.join(places)}" if places else "processor, versions and code are those of the record"


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

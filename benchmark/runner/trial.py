"""One trial from start to record."""

from __future__ import annotations

import datetime
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from benchmark import own_files
from benchmark.data.dataset import Dataset
from benchmark.data.load import load
from benchmark.data.names import data_root
from benchmark.errors import UsageError, first_line
from benchmark.experiment.record import Record, describe
from benchmark.experiment.trial import MethodSetting, Task, Trial
from benchmark.method.interface import Method
from benchmark.method.registry import get_method, registry
from benchmark.networks.build import build
from benchmark.networks.checkpoint import load_weights
from benchmark.networks.features import drop_unread, feature_groups
from benchmark.networks.measure import accuracy, logits
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import Net, check_removable, find_groups
from benchmark.runner.environment import hardware, peak_memory
from benchmark.runner.outcome import Outcome, measure_reduced, measure_trained
from benchmark.runner.threshold import set_threshold, tensors, threshold_accuracy
from benchmark.runner.train import Course, DivergedError, History, fine_tune, train

if TYPE_CHECKING:
    from benchmark.runner.states import Kept

EXAMPLES = 64  # validation images on which removal is proven
LOG = logging.getLogger(__name__)  # of whole tracebacks
CPU = torch.device("cpu")
SEEN = 10_000  # training samples that `silence` is given at most: all of them as floats would fill the memory

Base = tuple[dict[str, Tensor], float]  # a trained network's tensors and its training seconds


def run(
    trial: Trial,
    base: Base | None,
    device: str = "cpu",
    provenance: dict[str, Any] | None = None,
    kept: Kept | None = None,
) -> Record:
    """The trial's record. An error in the method is a record too, with status failed or diverged.

    Training and fine-tuning go on from the states that are kept of them; what lies between is done again.
    """
    return run_and_keep(trial, base, device, provenance, kept)[0]


def run_and_keep(
    trial: Trial,
    base: Base | None,
    device: str = "cpu",
    provenance: dict[str, Any] | None = None,
    kept: Kept | None = None,
) -> tuple[Record, nn.Module | None]:
    """The trial's record and its reduced network, None where it has none."""
    outcome, module, error = Outcome(), None, None
    try:
        with _seeded(trial.seed, device):
            status, module = _follow_protocol(trial, base, torch.device(device), outcome, kept)
    except DivergedError as divergence:
        status, error = "diverged", str(divergence)
    except (Exception, SystemExit) as failure:
        status, error = "failed", explain(failure)
        LOG.debug("%s failed", trial.label, exc_info=True)
    data = {"data": outcome.content} if outcome.content else {}
    told = {**(provenance or {}), **hardware(device), **data}
    try:
        record = Record(
            **describe(trial),
            **outcome.fields(),
            status=status,
            error=error,
            base_seconds=base[1] if base else None,
            peak_memory=peak_memory(device),
            created=_now(),
            provenance=told,
        )
    except ValidationError as refusal:  # a measure that cannot be: a patched one, or no number
        first = refusal.errors()[0]
        return failed(trial, "failed", f"measured {'.'.join(map(str, first['loc']))}: {first['msg']}", told), None
    return record, module


def _follow_protocol(
    trial: Trial, base: Base | None, device: torch.device, outcome: Outcome, kept: Kept | None
) -> tuple[str, nn.Module]:
    """Train → silence → remove → fine-tune → measure: fills the outcome, returns the status and the reduced network."""
    data, method = examples(trial, device), make_method(trial.setting, trial.seed)
    outcome.content = data.content
    course = _course(trial, data, kept)
    net, outcome.history = course.net, course.history
    first, last = trial.stages
    validation = data.pixels(data.validation.images), data.validation.labels

    if trial.starts_from_checkpoint:
        outcome.stage_accuracy["checkpoint"] = accuracy(net.module, *validation)
    if base is not None:
        for name, tensor in tensors(net):
            tensor.detach().copy_(base[0][name])
    if first < last:
        train(course, method, range(first, last))
    outcome.stage_accuracy["trained"] = accuracy(net.module, *validation)
    outcome.trained = measure_trained(net, data)

    sample = data.sample(SEEN)
    seen = data.pixels(sample.pool), sample.labels
    outcome.threshold_accuracy = threshold_accuracy(net, method, seen, validation)
    outcome.threshold = set_threshold(method, outcome.threshold_accuracy, outcome.stage_accuracy["trained"])
    method.silence(net, *seen)
    outcome.stage_accuracy["silenced"] = accuracy(net.module, *validation)

    removal = remove_silent(net.module, first_images(data))
    outcome.stage_accuracy["reduced"] = accuracy(removal.module, *validation)

    if trial.fine_tuning:
        reduced = replace(course, net=find_groups(_laid_out(removal.module, trial), first_images(data)))
        fine_tune(reduced, method, trial.fine_tuning)
        outcome.stage_accuracy["fine_tuned"] = accuracy(removal.module, *validation)

    if trial.task.features is not None:
        (dense,) = net.features
        outcome.features = dense.size, drop_unread(removal.module, first_images(data))
    outcome.measurements = measure_reduced(net.module, removal, data, first_images(data))
    return "collapsed" if removal.collapsed else "ok", removal.module


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Global random state, for what draws from it, begins with the seed, and is afterwards as it was."""
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield


def failed(trial: Trial, status: str, error: str, provenance: dict[str, Any]) -> Record:
    """The record of a trial that could not be run to its end."""
    return Record(**describe(trial), status=status, error=error, created=_now(), provenance=provenance)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def train_base(trial: Trial, device: str = "cpu", kept: Kept | None = None) -> Base:
    """Trains the network that the trial starts from: its base's own trial, over fewer epochs; goes on from its state.

    Raises DivergedError, and ValueError for a trial without a base.
    """
    base, stop = trial.base_trial, trial.stages[0]
    if base is None:
        raise ValueError(f"{trial.label} starts from no base network")
    with _seeded(base.seed, device):
        course = _course(base, examples(base, torch.device(device)), kept)
        train(course, make_method(base.setting, base.seed), range(stop))
    return {name: tensor.detach().cpu() for name, tensor in tensors(course.net)}, course.history.seconds


def train_watched(trial: Trial, method: Method) -> History:
    """Trains the network of a trial without a base as `run` does, on the CPU, with a method that also watches.

    Raises DivergedError.
    """
    with _seeded(trial.seed, "cpu"):
        course = _course(trial, examples(trial))
        train(course, method, range(trial.stages[1]))
    return course.history


def check_task(trial: Trial) -> None:
    """Raises UsageError if the trial's network does not fit its data or no channel of it could be removed exactly.

    Or if its task's checkpoint, which it may not start from, does not fit, or initial weights are not the seed's.
    """
    task, data = trial.task, examples(trial)
    try:
        net = find_groups(_with_checkpoint(task, untrained(task, data, trial.seed)), images := first_images(data))
        check_removable(net)
        outputs = logits(net.module, images)
        if outputs.shape != (len(images), data.classes):
            raise ValueError(
                f"its outputs are {tuple(outputs.shape)}, not {len(images)} samples × {data.classes} classes"
            )
        if task.network_sha256 is not None:
            _check_drawn(task, data, trial.seed)
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:  # torch's own: a layer, or memory, does not fit
        raise UsageError(f"task {task.name}: {first_line(error)}") from None


def checkpoint_accuracy(trial: Trial) -> float:
    """The validation accuracy of the network that the trial's task has a checkpoint of."""
    data = examples(trial)
    module = _with_checkpoint(trial.task, untrained(trial.task, data, trial.seed))
    return accuracy(module, data.pixels(data.validation.images), data.validation.labels)


def examples(trial: Trial, device: torch.device = CPU) -> Dataset:
    """The trial's data."""
    protocol = trial.protocol
    shares, (split_seed, test_seed) = (protocol.validation_share, protocol.test_share), trial.split_seeds
    data = load(trial.task.dataset, *shares, split_seed, data_root(), test_seed)
    if trial.task.augment is not None and len(data.shape) != 3:
        raise UsageError(f"augment = {trial.task.augment!r} moves images, and the samples have the shape {data.shape}")
    data = replace(data, augmentation=trial.task.augment)
    return data if device == CPU else data.to(device)


def first_images(data: Dataset) -> Tensor:
    """The validation images that removal is proven on, as the network is given them."""
    first = torch.arange(min(EXAMPLES, len(data.validation.labels)), device=data.validation.labels.device)
    return data.pixels(data.validation.take(first))


def make_method(setting: MethodSetting, seed: int) -> Method:
    """The method with the setting's hyperparameters and a generator of its own."""
    return get_method(setting.method)(torch.Generator().manual_seed(seed), **setting.hyperparameters)


def _course(trial: Trial, data: Dataset, kept: Kept | None = None) -> Course:
    """The trial's course before its first epoch."""
    if trial.protocol.channels_last:
        data = data.channels_last()
    return Course(_network(trial, data), data, trial.protocol, trial.seed, kept=kept)


def untrained(task: Task, data: Dataset, seed: int) -> nn.Module:
    """A task's network with the initial weights of a seed. Runs the user's code where the network is their own."""
    return build(
        task.network,
        data.shape,
        data.classes,
        seed=seed,
        widths=task.widths,
        activation=task.activation,
        norm=task.norm,
        sha256=task.network_sha256,
        features=task.features is not None,
    )


def _check_drawn(task: Task, data: Dataset, seed: int) -> None:
    """Raises ValueError where one seed gives other initial weights each time: methods would not start from the same."""
    one, other = (untrained(task, data, seed).parameters() for _ in range(2))
    if not all(map(torch.equal, one, other)):
        raise ValueError("its initial weights differ each time it is built: draw them with torch, whose seed is set")


def _with_checkpoint(task: Task, module: nn.Module) -> nn.Module:
    if task.checkpoint is not None:
        load_weights(module, own_files.read(task.checkpoint, task.checkpoint_sha256), task.checkpoint)
    return module


def _network(trial: Trial, data: Dataset) -> Net:
    module = untrained(trial.task, data, trial.seed)
    if trial.starts_from_checkpoint:
        module = _with_checkpoint(trial.task, module)
    net = find_groups(_laid_out(module.to(data.train.labels.device), trial), first_images(data))
    if trial.task.features is not None:
        net.features = feature_groups(module)
    return net


def _laid_out(module: nn.Module, trial: Trial) -> nn.Module:
    """The network with its weights in memory as the protocol has them. Raises UsageError where torch cannot do it."""
    if trial.protocol.channels_last:
        on_cpu = next(module.parameters()).device.type == "cpu"
        if on_cpu and torch.backends.cpu.get_cpu_capability() == "AVX2":  # oneDNN's kernels, in torch 2.13.0
            raise UsageError(
                "channels_last needs a GPU or AVX-512: with AVX2 torch's convolutions of few channels overwrite memory"
            )
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # that torch has not typed
    return module


def explain(error: BaseException) -> str:
    """What went wrong and where, in one line: where in a method's file, if there, and the innermost place."""
    frames = traceback.extract_tb(error.__traceback__)
    own = {getattr(sys.modules.get(m.__module__), "__file__", None) for m in registry().methods.values()}
    own |= {str(known.path) for known in own_files.KNOWN.values()}
    places = dict.fromkeys(
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in [*[frame for frame in frames if frame.filename in own][-1:], *frames[-1:]]
    )
    return f"{type(error).__name__}: {first_line(str(error))}" + (f" ({', in '.join(places)})" if places else "")

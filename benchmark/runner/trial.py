"""One trial from start to record."""

from __future__ import annotations

import datetime
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.data.dataset import Dataset
from benchmark.data.load import load
from benchmark.data.names import data_root
from benchmark.errors import UsageError, first_line
from benchmark.experiment.record import Record, describe
from benchmark.experiment.trial import MethodSetting, Trial
from benchmark.method.interface import Method
from benchmark.method.registry import get_method
from benchmark.networks.build import build
from benchmark.networks.latency import in_turns
from benchmark.networks.measure import (
    EVALUATION_BATCH,
    accuracy,
    macs,
    never_active,
    norm_histogram,
    parameters,
    zero_weights,
)
from benchmark.removal.exact import Removal, remove_silent
from benchmark.removal.groups import Net, check_removable, find_groups
from benchmark.runner.environment import hardware, peak_memory
from benchmark.runner.train import DivergedError, History, fine_tune, train

EXAMPLES = 64  # validation images on which removal is proven
SEEN = 10_000  # training samples that `silence` is given at most: all of them as floats would fill the memory
THRESHOLDS = tuple(10.0**-power for power in range(16, -1, -1))

Base = tuple[dict[str, Tensor], float]  # a trained network's state and its training seconds


def run(trial: Trial, base: Base | None, device: str = "cpu", provenance: dict[str, Any] | None = None) -> Record:
    """The trial's record. An error in the method is a record too, with status failed or diverged."""
    return run_and_keep(trial, base, device, provenance)[0]


def run_and_keep(
    trial: Trial, base: Base | None, device: str = "cpu", provenance: dict[str, Any] | None = None
) -> tuple[Record, nn.Module | None]:
    """The trial's record and its reduced network, None where it has none."""
    result: dict[str, Any] = {"history": History()}
    module, error = None, None
    try:
        with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
            torch.manual_seed(trial.seed)
            status, module = _run(trial, base, torch.device(device), result)
    except DivergedError as divergence:
        status, error = "diverged", str(divergence)
    except Exception as failure:
        status, error = "failed", explain(failure)
    history, content = asdict(result.pop("history")), result.pop("content", None)
    result["train_seconds"] = history.pop("seconds")
    record = Record(
        **describe(trial), status=status, error=error, **result,
        history=history if status in ("ok", "collapsed") else _finite(history),
        base_seconds=base[1] if base else None, peak_memory=peak_memory(device), created=_now(),
        provenance={**(provenance or {}), **hardware(device), **({"data": content} if content else {})},
    )  # fmt: skip
    return record, module


def failed(trial: Trial, status: str, error: str, provenance: dict[str, Any]) -> Record:
    """The record of a trial that could not be run to its end."""
    return Record(**describe(trial), status=status, error=error, created=_now(), provenance=provenance)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def train_base(trial: Trial, device: str = "cpu") -> Base:
    """Trains the network that the trial starts from: the first epochs of its base's own trial.

    Raises DivergedError.
    """
    base, stop = trial.base_trial, trial.stages[0]
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(base.seed)
        data = _data(base, torch.device(device))
        net, history = _network(base, data, torch.device(device)), History()
        train(net, make_method(base.setting, base.seed), data, base.protocol, base.seed, range(stop), history)
    return {name: tensor.cpu() for name, tensor in net.module.state_dict().items()}, history.seconds


def train_watched(trial: Trial, method: Method) -> History:
    """Trains the network of a trial without a base as `run` does, on the CPU, with a method that also watches.

    Raises DivergedError.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trial.seed)
        data, history = examples(trial), History()
        net = _network(trial, data, torch.device("cpu"))
        train(net, method, data, trial.protocol, trial.seed, range(trial.stages[1]), history)
    return history


def check_task(trial: Trial) -> None:
    """Raises UsageError if the trial's network does not fit its data or no channel of it could be removed exactly."""
    try:
        check_removable(_network(trial, _data(trial, torch.device("cpu")), torch.device("cpu")))
    except ValueError as error:
        raise UsageError(f"task {trial.task.name}: {error}") from None


def examples(trial: Trial) -> Dataset:
    """The trial's data."""
    return _data(trial, torch.device("cpu"))


def make_method(setting: MethodSetting, seed: int) -> Method:
    """The method with the setting's hyperparameters and a generator of its own."""
    return get_method(setting.method)(torch.Generator().manual_seed(seed), **setting.hyperparameters)


def _data(trial: Trial, device: torch.device) -> Dataset:
    protocol = trial.protocol
    shares = protocol.validation_share, protocol.test_share
    data = load(trial.task.dataset, *shares, protocol.split_seed, data_root())
    data = replace(data, augmentation=trial.task.augment)
    return data if device.type == "cpu" else data.to(device)


def _network(trial: Trial, data: Dataset, device: torch.device) -> Net:
    task = trial.task
    module = build(
        task.network, data.shape, data.classes,
        seed=trial.seed, widths=task.widths, activation=task.activation, norm=task.norm,
    )  # fmt: skip
    return find_groups(module.to(device), _examples(data))


def _examples(data: Dataset) -> Tensor:
    first = torch.arange(min(EXAMPLES, len(data.validation.labels)), device=data.validation.labels.device)
    return data.pixels(data.validation.take(first))


def _run(trial: Trial, base: Base | None, device: torch.device, result: dict[str, Any]) -> tuple[str, nn.Module]:
    """Trains, silences, removes, fine-tunes and measures, filling `result`; returns the status and the network."""
    data, protocol, method = _data(trial, device), trial.protocol, make_method(trial.setting, trial.seed)
    result["content"] = data.content
    net, history = _network(trial, data, device), result["history"]
    first, last = trial.stages
    if base is not None:
        net.module.load_state_dict(base[0])
    if first < last:
        train(net, method, data, protocol, trial.seed, range(first, last), history)
    validation = data.pixels(data.validation.images)

    def stage(name: str, module: nn.Module) -> None:
        result.setdefault("stage_accuracy", {})[name] = accuracy(module, validation, data.validation.labels)

    stage("trained", net.module)
    norms = net.incoming_norms()
    result["threshold_sweep"] = {f"{xi:.0e}": (norms < xi).sum().item() / net.hidden_channels for xi in THRESHOLDS}
    result["norm_histogram"] = norm_histogram(norms)
    result["never_active"] = never_active(net.module, data.inputs(data.train, EVALUATION_BATCH))
    seen = data.train.part(SEEN)
    method.silence(net, data.pixels(seen.pool), seen.labels)
    stage("silenced", net.module)
    removal = remove_silent(net.module, _examples(data))
    stage("reduced", removal.module)
    if last < protocol.epochs:
        reduced = find_groups(removal.module, _examples(data))
        fine_tune(reduced, method, data, protocol, trial.seed, range(last, protocol.epochs), history)
        stage("fine_tuned", removal.module)
    result.update(_measurements(net.module, removal, data))
    return "collapsed" if removal.collapsed else "ok", removal.module


def _measurements(silenced: nn.Module, removal: Removal, data: Dataset) -> dict[str, Any]:
    module, example = removal.module, _examples(data)
    channels, left = sum(removal.channels.values()), sum(removal.channels_left.values())
    params, params_dense = parameters(module), parameters(silenced)
    macs_left, macs_dense = macs(module, example), macs(silenced, example)
    zeros, weights = zero_weights(module)
    seconds = in_turns([silenced, module], example)
    return {
        "val_accuracy": accuracy(module, data.pixels(data.validation.images), data.validation.labels),
        "test_accuracy": accuracy(module, data.pixels(data.test.images), data.test.labels),
        "channels": channels,
        "channels_left": removal.channels_left,
        "params": params,
        "params_dense": params_dense,
        "macs": macs_left,
        "macs_dense": macs_dense,
        "channel_sparsity": 1 - left / channels,
        "param_sparsity": 1 - params / params_dense,
        "mac_sparsity": 1 - macs_left / macs_dense,
        "weight_sparsity": 1 - (weights - zeros) / zero_weights(silenced)[1],
        "removal_error": removal.deviation,
        "kept_whole": removal.kept_whole,
        "latency": dict(zip(("dense", "reduced"), seconds, strict=True)),
    }


def explain(error: BaseException) -> str:
    """What went wrong and where, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {first_line(str(error))}{place}"


def _finite(history: dict[str, list[float]]) -> dict[str, list[float]]:
    """The history without its last, not finite epoch: JSON has no NaN."""
    whole = [i for i, loss in enumerate(history["loss"]) if loss == loss and abs(loss) != float("inf")]
    return {name: [values[i] for i in whole if i < len(values)] for name, values in history.items()}

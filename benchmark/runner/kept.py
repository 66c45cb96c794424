"""The reduced networks of a study that are kept beside its records, each bound to the very record it belongs to."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmark.errors import UsageError, first_line
from benchmark.experiment.record import Record
from benchmark.experiment.trial import Trial
from benchmark.files import write_whole
from benchmark.networks.kept import SUFFIX, About, UnfitError, pack, read
from benchmark.networks.measure import accuracy, logits, parameters
from benchmark.networks.sizes import layer_sizes, resize
from benchmark.runner.trial import examples, first_images, untrained

LIMIT = 2 * 2**30  # bytes of a study's kept networks
SAME = 1e-4  # relative deviation of a float32 logit between a network and itself, read back
ROUNDED = 1e-3  # difference in accuracy that another processor's rounding may make
BOUND = (
    "key", "val_accuracy", "test_accuracy", "channels_left", "params", "params_dense", "macs", "removal_error",
    "removal_tried", "created",
)  # fmt: skip # what of a record its file holds too, its removal's proof included


@dataclass
class KeptNetworks:
    """The networks in a folder, a file each; a file is whole or not there, and holds numbers only.

    `say` is told, in a line, of every file that is not used, and of every network that is not kept.
    """

    folder: Path
    say: Callable[[str], None]

    def path(self, key: str) -> Path:
        """The file of a record's network."""
        return self.folder / f"{key}{SUFFIX}"

    @property
    def sizes(self) -> dict[str, int]:
        """By key the bytes of every file."""
        with suppress(FileNotFoundError):
            return {path.stem: path.stat().st_size for path in sorted(self.folder.glob(f"*{SUFFIX}"))}
        return {}

    def save(self, record: Record, packed: bytes | str) -> None:
        """Keeps a record's network; the largest ones go where all would take more than LIMIT."""
        if isinstance(packed, str):
            self.say(f"the network of {record.label} {record.short_key} is not kept: {packed}")
            return
        try:
            write_whole(self.path(record.key), packed)
        except UsageError as error:  # the record matters more
            self.say(f"the network of {record.label} {record.short_key} is not kept: {error}")
        sizes = self.sizes
        for key in sorted(sizes, key=lambda key: sizes[key], reverse=True):
            if sum(sizes.values()) <= LIMIT:
                break
            self.say(f"the kept network {key[:8]} goes: {self.folder} has at most {LIMIT / 2**30:g} GiB")
            self.drop([key])
            del sizes[key]

    def drop(self, keys: Collection[str]) -> None:
        """Removes the networks of these records, where they are kept."""
        for key in keys:
            with suppress(OSError):
                self.path(key).unlink()

    def tidy(self) -> None:
        """Removes what a killed run left half-written; for who holds the study's lock."""
        for path in self.folder.glob(f"*{SUFFIX}.partial"):
            with suppress(OSError):
                path.unlink()

    def fits(self, record: Record) -> bool:
        """Whether the record's network is kept, whole and unchanged."""
        return self._read(record) is not None

    def load(self, record: Record) -> nn.Module | None:
        """The record's network, where it is kept and is what the record says; on the CPU.

        Builds the dense network, by the user's code where it is their own.
        """
        found = self._read(record)
        if found is None:
            return None
        try:
            return _rebuilt(record, *found)
        except Exception as error:  # whatever a network of the user's own does
            self._refuse(record, error)
            return None

    def _read(self, record: Record) -> tuple[About, dict[str, Tensor]] | None:
        path = self.path(record.key)
        if not path.exists():
            return None
        try:
            about, state = read(path)
            for name, value in bound(record).items():
                if about.record.get(name) != value:
                    raise UnfitError(f"its {name} is {about.record.get(name)}, not {value} as in its record")
        except UnfitError as error:
            self._refuse(record, error)
            return None
        return about, state

    def _refuse(self, record: Record, error: Exception) -> None:
        self.say(f"the kept network {self.path(record.key)} is not used: {first_line(error)}")


def bound(record: Record) -> dict[str, Any]:
    """What binds a file to a record, as JSON holds it."""
    return dict(json.loads(json.dumps({name: getattr(record, name) for name in BOUND})))


def dense_arguments(trial: Trial) -> dict[str, Any]:
    """The arguments of `build.build` that give the trial's dense network, by name."""
    data, task = examples(trial), trial.task
    return {
        "network": task.network, "shape": data.shape, "classes": data.classes, "seed": trial.seed,
        "widths": task.widths, "activation": task.activation, "norm": task.norm,
        **({"features": True} if task.features else {}),
    }  # fmt: skip


def pack_network(record: Record, module: nn.Module) -> bytes | str:
    """What `KeptNetworks.save` takes: the content of a file, or why the network could not be read back from it."""
    trial = record.trial
    try:
        data = examples(trial)
        copied = untrained(trial.task, data, trial.seed)
        resize(copied, layer_sizes(module), {name: x.detach().cpu().clone() for name, x in module.state_dict().items()})
        device = next(module.parameters()).device
        expected, found = (logits(x, first_images(data).to(device)) for x in (module, copied.to(device)))
        deviation = ((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item()
        if not deviation <= SAME:
            return f"read back, its logits deviate by {deviation:.3g}"
        return pack(module, None if trial.task.network_sha256 else dense_arguments(trial), bound(record))
    except Exception as error:  # whatever a network of the user's own does
        return f"{type(error).__name__}: {first_line(error)}"


def _rebuilt(record: Record, about: About, state: dict[str, Tensor]) -> nn.Module:
    """Raises UnfitError where the network is not what the record says, and what its code raises."""
    trial = record.trial
    data = examples(trial)
    module = untrained(trial.task, data, trial.seed)
    resize(module, about.layers, state)
    if parameters(module) != record.params:
        raise UnfitError(f"it has {parameters(module)} parameters, not {record.params} as in its record")
    found = accuracy(module, data.pixels(data.test.images), data.test.labels)
    if record.test_accuracy is None or abs(found - record.test_accuracy) > ROUNDED:
        raise UnfitError(f"its test accuracy is {found}, not {record.test_accuracy} as in its record")
    return module.eval()

"""What the trials of one process share: looked at before a trial, and put back after it.

A method is code that may do anything: set torch's threads, patch a loss, overwrite the data. A trial that does leaves
the next one, perhaps another method's, with what it changed; its record names that. Only what is bound to a name or set
in torch is looked at, and the data by their version counters and a sample of their bytes: this finds accidents, and is
no defence against a method that hides what it does.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer

from benchmark.data.dataset import Dataset, Split
from benchmark.data.load import decode, load
from benchmark.experiment.trial import Trial
from benchmark.runner.patches import Names
from benchmark.runner.trial import examples

GROWTH = 2**30  # bytes of memory that a process may gain over its trials
PIECES, PIECE = 16, 4096  # of a large tensor: how many pieces are compared, and their bytes


class Part(NamedTuple):
    """Something that trials share, as a record names it; what `put` cannot set is as it was found."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], None]


@dataclass(frozen=True)
class Left:
    """What a trial left changed: all of it, what could not be put back, and whether the process has grown too large."""

    changed: list[str]
    lasting: list[str]
    grown: bool


class Room:
    """A process in which trials run one after another; `enter` before each, `leave` after it.

    Both together take 3 ms, and 6 ms more where modules have been imported since (on one core of a slow server).
    """

    def __init__(self) -> None:
        importlib.import_module("torch._dynamo")  # any training imports it, and it changes torch as it comes
        self._memory = _memory()
        self._data: dict[int, Dataset] = {}  # by the identity of their training splits, which the cache of `load` keeps
        self._prints: dict[int, list[tuple[int, int]]] = {}
        self._values: list[Any] = []
        self._filters: tuple[Any, ...] = ()
        self._names, self._modules = Names(), len(sys.modules)

    def enter(self, trial: Trial) -> None:
        """Looks at everything; loads the trial's data, for they have to be seen before it runs."""
        with contextlib.suppress(Exception):  # the trial will meet it, and say so
            data = examples(trial)
            self._data[id(data.train)] = data
        self._prints = {key: _prints(data) for key, data in self._data.items()}
        if len(sys.modules) != self._modules:
            self._names, self._modules = Names(), len(sys.modules)
        self._values = [part.get() for part in PARTS]
        self._filters = tuple(warnings.filters)  # put back unsaid: what a trial imports adds to them too

    def leave(self) -> Left:
        """Puts back what has changed since `enter`."""
        changed = self._names.put_back()
        for part, was in zip(PARTS, self._values, strict=True):
            if part.get() != was:
                changed.append(part.name)
                with contextlib.suppress(Exception):  # the next line sees whether it worked
                    part.put(was)
        lasting = [part.name for part, was in zip(PARTS, self._values, strict=True) if part.get() != was]
        _set_filters(self._filters)
        if any(_prints(data) != self._prints[key] for key, data in self._data.items()):
            changed.append("the data")
            self._data.clear()
            load.cache_clear()
            decode.cache_clear()
        grown = _memory() - self._memory > GROWTH
        return Left(changed + ["memory"] * grown, lasting, grown)


@contextlib.contextmanager
def exits_are_errors() -> Iterator[None]:
    """Within it, what would end this process at once raises SystemExit; processes that it forks end as they wish."""
    own, end = os.getpid(), os._exit

    def leave(code: int) -> None:
        if os.getpid() != own:
            end(code)
        raise SystemExit(code)

    os._exit = leave
    try:
        yield
    finally:
        os._exit = end


def _memory() -> int:
    """Bytes of this process that no file backs; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    found = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) * 1024 if found else 0


def _prints(data: Dataset) -> list[tuple[int, int]]:
    splits: tuple[Split, ...] = (data.train, data.validation, data.test)
    tensors = [tensor for split in splits for tensor in (split.pool, split.labels, split.rows)]
    return [_print(tensor) for tensor in (*tensors, data.mean, data.deviation) if tensor is not None]


def _print(tensor: Tensor) -> tuple[int, int]:
    """How often torch has written to a tensor, and a checksum over evenly spaced pieces of it."""
    content = tensor.numpy().reshape(-1).view(np.uint8)
    starts = {len(content) - PIECE if i == PIECES - 1 else i * len(content) // PIECES for i in range(PIECES)}
    check = 0
    for start in sorted(starts) if len(content) > PIECES * PIECE else [0]:
        check = zlib.crc32(content[start : start + PIECE] if len(content) > PIECES * PIECE else content, check)
    return 0 if tensor.is_inference() else tensor._version, check


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed
        return None


def _set_environment(was: dict[str, str]) -> None:
    for name in os.environ.keys() - was.keys():
        del os.environ[name]
    os.environ.update(was)


def _set_filters(was: tuple[Any, ...]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = was


def _flushes() -> bool:
    return bool((torch.full((1,), 1e-30, dtype=torch.float32, device="cpu") * 1e-10 == 0).item())


def _numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()
    return name, keys.tobytes(), *rest


def _set_numpy_state(was: tuple[Any, ...]) -> None:
    np.random.set_state((was[0], np.frombuffer(was[1], dtype=np.uint32), *was[2:]))


def _cudnn() -> tuple[bool, ...]:
    flags = torch.backends.cudnn
    return flags.enabled, flags.benchmark, flags.deterministic


def _set_cudnn(was: tuple[bool, ...]) -> None:
    flags = torch.backends.cudnn
    flags.enabled, flags.benchmark, flags.deterministic = was


def _hook_tables() -> list[dict[Any, Any]]:
    tables = [*vars(torch_module).items(), *vars(torch_optimizer).items()]
    return [table for name, table in tables if name.startswith("_global_") and isinstance(table, dict)]


def _set_hooks(was: list[dict[Any, Any]]) -> None:
    for table, before in zip(_hook_tables(), was, strict=True):
        table.clear()
        table.update(before)


PARTS = (
    Part("torch's threads", torch.get_num_threads, torch.set_num_threads),
    Part("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Part(
        "the default device",
        torch.get_default_device,
        lambda was: torch.set_default_device(None if was.type == "cpu" else was),
    ),
    Part("the gradient mode", torch.is_grad_enabled, lambda was: torch.set_grad_enabled(was)),
    Part("the inference mode", torch.is_inference_mode_enabled, lambda was: None),
    Part("torch's modes", torch._C._len_torch_function_stack, lambda was: None),
    Part("anomaly detection", torch.is_anomaly_enabled, lambda was: torch.autograd.set_detect_anomaly(was)),
    Part(
        "deterministic algorithms",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda was: torch.use_deterministic_algorithms(was[0], warn_only=was[1]),
    ),
    Part("the precision of matmul", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    Part("cuDNN's flags", _cudnn, _set_cudnn),
    Part("denormal numbers", _flushes, torch.set_flush_denormal),
    Part("hooks of all modules", lambda: [dict(table) for table in _hook_tables()], _set_hooks),
    Part(
        "torch's random state",
        lambda: torch.get_rng_state().numpy().tobytes(),
        lambda was: torch.set_rng_state(torch.frombuffer(bytearray(was), dtype=torch.uint8)),
    ),
    Part("Python's random state", random.getstate, random.setstate),
    Part("NumPy's random state", _numpy_state, _set_numpy_state),
    Part("the working directory", _folder, os.chdir),
    Part("the environment", lambda: dict(os.environ), _set_environment),
)

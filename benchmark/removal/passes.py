"""What a forward pass that is followed must leave as it was, and the networks that have none to follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from benchmark.removal.calls import NESTED
from benchmark.removal.labels import UntraceableError
from benchmark.removal.tensors import TABLES

SAMPLES = 2  # that are followed: cells do not depend on how many there are, but code may on whether there is one
RETURNED = (Tensor, int, float, complex, str, type(None), torch.dtype, torch.device)
KEPT = (int, float, complex, str, Tensor)  # what a memory of earlier passes may be in
NOT_KEPT = ("training", "_modules", "_forward_hooks", "_forward_pre_hooks")  # the last two note what runs
HOLDING = (list, tuple, dict, set, deque)  # and what may hold it, beside objects of other kinds


def unchanged_seed(batch: Tensor) -> AbstractContextManager[None]:
    """A context that gives the global random state back as it was."""
    return torch.random.fork_rng(devices=[batch.device] if batch.is_cuda else [])


def as_inputs(example: Any) -> tuple[Tensor, ...]:
    """A network's inputs, each N × …; raises UntraceableError where an example is no tensor and no tuple of them."""
    inputs = (example,) if isinstance(example, Tensor) else example
    if not isinstance(inputs, tuple | list) or not inputs:
        raise UntraceableError(f"an example is a tensor or a tuple of tensors, not {_kind(example)}")
    for place, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            fault = f"{_kind(x)}, not a tensor"
        elif x.layout is not torch.strided or x.is_complex():
            fault = "sparse" if x.layout is not torch.strided else "complex"
        elif not x.dim() or not len(x):
            fault = "a tensor without samples"
        else:
            continue
        raise UntraceableError(f"the example's input {place} is {fault}: networks are followed on samples, N × …")
    return tuple(inputs)


def _kind(value: Any) -> str:
    return "an empty tuple" if isinstance(value, tuple) else f"a {type(value).__name__}"


def reason_of(error: Exception) -> str:
    """What an error says, in one line: the first, but for TorchScript, which says last what went wrong, if it does."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "TorchScript interpreter" not in lines[0]:
        return lines[0]
    return "TorchScript code in it cannot be followed" if lines[-1].endswith(":") else lines[-1]


def first_samples(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of each input that has a sample in every row as many as are followed."""
    count = inputs[0].shape[:1]
    return tuple(torch.cat([x, x])[:SAMPLES].detach() if x.shape[:1] == count else x.detach() for x in inputs)


@contextmanager
def following(module: nn.Module, batch: Tensor) -> Iterator[None]:
    """A context in which the module is in evaluation mode, and its operations come as torch's users call them."""
    modes = {m: m.training for m in module.modules()}
    fused = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)  # a whole encoder layer in one operation
    try:
        with torch.no_grad(), unchanged_seed(batch), torch._C._AutoDispatchBelowAutograd():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for m, mode in modes.items():
            m.training = mode


def check_kind(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise UntraceableError(f"{name or 'it'} is a ScriptModule: pass the nn.Module that it was made of")
        for key, tensor in (*part._parameters.items(), *part._buffers.items()):
            if is_lazy(tensor):
                whole = f"{name}.{key}".lstrip(".")
                raise UntraceableError(f"{whole} has no shape yet: pass a batch through the network first")


def check_outputs(outputs: Any) -> None:
    """Refuses a container that is not looked into: channels in it would go unseen."""
    if isinstance(outputs, NESTED):
        for value in outputs.values() if isinstance(outputs, dict) else outputs:
            check_outputs(value)
    elif not isinstance(outputs, RETURNED):
        kind = type(outputs).__name__
        raise UntraceableError(f"its forward pass returns a {kind}, in which tensors are not seen: return them bare")


def check_state(module: nn.Module, before: dict[str, Any], read: set[int]) -> None:
    """Refuses a forward pass with a memory: other numbers in a module's attributes, or tensors that it had `read`."""
    after = attributes(module)
    for name, old in before.items():
        new = after.get(name)
        if old is new:  # what is written in place, the ledger sees
            same = True
        elif isinstance(old, Tensor) and isinstance(new, Tensor):
            same = id(old) not in read or torch.equal(old, new)
        else:
            same = isinstance(old, Tensor) or old == new or old != old
        if not same:
            raise UntraceableError(f"its forward pass changes {name}")


def attributes(module: nn.Module) -> dict[str, Any]:
    """The numbers and tensors in a module's own attributes and in its parts', by name, also in what these hold."""
    found: dict[str, Any] = {}
    visited: set[int] = set()
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if key not in NOT_KEPT:
                _gather(name if key in TABLES else f"{name}.{key}".lstrip("."), value, found, visited)
    return found


def _gather(name: str, value: Any, found: dict[str, Any], visited: set[int]) -> None:
    """Adds the numbers and tensors that a value is or holds, each under the name that leads to it first."""
    if isinstance(value, KEPT):
        found[name] = value
        return
    held = _held(value)
    if held and id(value) not in visited:
        visited.add(id(value))
        for key, item in held:
            _gather(f"{name}.{key}".lstrip("."), item, found, visited)


def _held(value: Any) -> list[tuple[Any, Any]]:
    """What a container or an object of a user's own holds, and under which keys."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, HOLDING):
        return list(enumerate(value))
    known = value is None or isinstance(value, (nn.Module, type)) or callable(value)
    return [] if known else list(getattr(value, "__dict__", {}).items())

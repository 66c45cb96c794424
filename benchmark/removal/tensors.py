"""The tensors that a module holds, parameters or not, and copies of it with others in their place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from benchmark.removal.calls import tensors_in

TABLES = frozenset({"_parameters", "_buffers", "_modules"})
RESTORING = (nn.Module.__setstate__, nn.modules.conv._ConvNd.__setstate__)  # what old pickles lack, no more
PLAIN = (bool, int, float, str, type(None))

Layout = tuple[int, tuple[int, ...], tuple[int, ...]]


def tensors_of(module: nn.Module) -> list[Tensor]:
    """All parameters, buffers, and other tensors in the attributes of a module and its parts, each once."""
    found = [tensor for part in module.modules() for tensor in tensors_in(vars(part))]
    return list({id(tensor): tensor for tensor in found}.values())


def copy_with(module: nn.Module, replace: Callable[[Tensor], Tensor]) -> nn.Module:
    """A deep copy of a module, but for its tensors, which it holds as they are replaced."""
    memo: dict[int, Any] = {id(tensor): replace(tensor) for tensor in tensors_of(module)}
    plain_kinds = {kind for kind in set(map(type, module.modules())) if _is_plain(kind)}
    plain = [part for part in module.modules() if type(part) in plain_kinds]
    memo |= {id(part): object.__new__(type(part)) for part in plain}
    for part in plain:  # what deepcopy does too, but slowly: a dozen empty dicts of hooks in each part
        own = {key: value for key, value in vars(part).items() if key != "_compiled_call_impl"}
        vars(memo[id(part)]).update({key: _copied(key, value, memo) for key, value in own.items()})
    return copy.deepcopy(module, memo)


def _copied(key: str, value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, PLAIN):
        return value
    if key in TABLES:
        return {name: copy.deepcopy(own, memo) for name, own in value.items()}
    return type(value)() if isinstance(value, dict | set) and not value else copy.deepcopy(value, memo)


def _is_plain(kind: type[nn.Module]) -> bool:
    """Whether copies of such a module are of its attributes alone."""
    own = ("__new__", "__reduce__", "__reduce_ex__")
    standard = all(getattr(kind, name) is getattr(object, name) for name in own) and not hasattr(kind, "__deepcopy__")
    state = kind.__getstate__ is nn.Module.__getstate__ and kind.__setstate__ in RESTORING
    return standard and state


def layout(tensor: Tensor) -> Layout:
    """Which elements of its memory a tensor holds, and in which order."""
    return int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()

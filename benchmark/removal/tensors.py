"""The tensors that a module holds, parameters or not, and copies of it with others in their place."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import Tensor, nn

from benchmark.removal.calls import tensors_in


def tensors_of(module: nn.Module) -> list[Tensor]:
    """All parameters, buffers, and other tensors in the attributes of a module and its parts."""
    attributes = [tensor for part in module.modules() for tensor in tensors_in(vars(part))]
    return [*module.parameters(), *module.buffers(), *attributes]


def copy_with(module: nn.Module, replace: Callable[[Tensor], Tensor]) -> nn.Module:
    """A deep copy of a module, but for its tensors, which it holds as they are replaced."""
    memo: dict[int, object] = {id(tensor): replace(tensor) for tensor in tensors_of(module)}
    for part in module.modules():  # a dozen empty dicts of hooks in each, which deepcopy is slow at
        memo |= {id(value): type(value)() for value in vars(part).values() if isinstance(value, dict) and not value}
    return copy.deepcopy(module, memo)

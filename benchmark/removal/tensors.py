"""The tensors that a module holds, parameters or not."""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.removal.calls import tensors_in


def tensors_of(module: nn.Module) -> list[Tensor]:
    """All parameters, buffers, and other tensors in the attributes of a module and its parts."""
    attributes = [tensor for part in module.modules() for tensor in tensors_in(vars(part))]
    return [*module.parameters(), *module.buffers(), *attributes]

"""Where each tensor of a forward pass comes from: which parameter it is, or which operation's result."""

from __future__ import annotations

import weakref

from torch import Tensor, nn

Origin = tuple[str, str] | tuple[int, int] | None  # a parameter's module and name, or an operation's place and a result


class Origins:
    """Knows the tensors of a forward pass as it goes on: two are the same if all their operands come from the same."""

    def __init__(self, module: nn.Module):
        self.parameters: dict[int, tuple[str, str]] = {}
        self.made: dict[int, tuple[weakref.ref[Tensor], int, int]] = {}
        for name, part in module.named_modules():
            for key, tensor in (*part._parameters.items(), *part._buffers.items()):
                if tensor is not None:
                    self.parameters.setdefault(id(tensor), (name, key))

    def note(self, place: int, results: list[Tensor] | tuple[Tensor, ...]) -> None:
        """Notes what the operation at a place gave, or wrote to; the inputs' place is -1."""
        for index, tensor in enumerate(results):
            self.made[id(tensor)] = weakref.ref(tensor), place, index

    def of(self, tensor: Tensor) -> Origin:
        """None for a tensor that no operation was seen to make."""
        if id(tensor) in self.parameters:
            return self.parameters[id(tensor)]
        reference, place, index = self.made.get(id(tensor), (None, 0, 0))
        return (place, index) if reference is not None and reference() is tensor else None

"""One operation of a forward pass: its name, its arguments by name, and what it gave."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from torch import Tensor

from benchmark.removal.operations import DENSE, ELEMENTWISE, FILLINGS, SIZED

NESTED = (list, tuple, dict)
HOLDING = (Tensor, *NESTED)  # what may hold tensors, in tuples: a union would be made at every call
NUMBERS = (int, float, complex, str)
FEW = 64  # of the numbers that code made a tensor of
COMPUTING = ELEMENTWISE | FILLINGS


@dataclass
class Call:
    """An ATen operation, its arguments by name, and its result."""

    function: Any
    name: str
    arguments: dict[str, Any]
    result: Any = None

    @classmethod
    def of(cls, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        name, parameters = _signature(function)
        arguments = dict(parameters)
        arguments.update(zip(arguments, args, strict=False))
        return cls(function, name, arguments | kwargs)

    @cached_property
    def tensors(self) -> list[Tensor]:
        return tensors_in(list(self.arguments.values()))

    @property
    def results(self) -> list[Tensor]:
        return tensors_in(self.result)

    @property
    def written(self) -> list[Tensor]:
        """The tensors that the operation writes to."""
        return tensors_in([self.arguments[name] for name in _written(self.function)])

    @property
    def scalars(self) -> tuple[Any, ...]:
        """The numbers that it computes with: what are sizes and places shows in its result's shape."""
        if self.name == "lift_fresh":  # a number that code made a tensor of
            return tuple(v for x in self.tensors if x.numel() <= FEW for v in x.flatten().tolist())
        kinds = NUMBERS if self.name in COMPUTING else (bool, float, complex, str)
        return tuple(v for v in self.arguments.values() if isinstance(v, kinds))

    @property
    def places(self) -> tuple[int, ...]:
        """The numbers that say where it finds what: kernels, strides, axes, positions; neither widths nor groups."""
        if self.name in SIZED:
            return ()
        values = (value for name, value in self.arguments.items() if name != "groups" or self.name not in DENSE)
        lists = (value if isinstance(value, list | tuple) else (value,) for value in values)
        return tuple(v for listed in lists for v in listed if isinstance(v, int))

    def numbers(self, lone: tuple[int, ...]) -> tuple[Any, ...]:
        """The numbers that each element is computed with; `lone` says which of the tensors are numbers."""
        if self.name not in ELEMENTWISE:  # a pooling, which divides by a number of its own
            return tuple(self.arguments["kernel_size"]), self.arguments["divisor_override"]
        scalars = (v for v in self.scalars if not isinstance(v, bool | str))
        return (*scalars, *(self.tensors[i].item() for i in lone))


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return [value]
    if not value or not isinstance(value, NESTED):
        return []
    items = value.values() if isinstance(value, dict) else value
    return [tensor for item in items if isinstance(item, HOLDING) for tensor in tensors_in(item)]


@cache
def _signature(function: Any) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """An operation's name, the same for its in-place variant, and its parameters with their defaults."""
    schema = function._schema
    defaults = tuple((a.name, a.default_value if a.has_default_value() else None) for a in schema.arguments)
    space, name = schema.name.split("::")  # other libraries give other operations the same names
    return (name if space == "aten" else schema.name).rstrip("_"), defaults


@cache
def _written(function: Any) -> tuple[str, ...]:
    return tuple(a.name for a in function._schema.arguments if a.alias_info is not None and a.alias_info.is_write)

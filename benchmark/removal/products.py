"""Reads the operations that multiply by a weight: which tensors they join, along which axis, in which blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from benchmark.removal.tensors import layout

PLAIN = (nn.Linear.forward, nn.Conv1d.forward, nn.Conv2d.forward, nn.Conv3d.forward)


@dataclass(frozen=True)
class Product:
    """An input (channels along `axis`) times a weight (outputs × inputs in a block × …), plus a bias."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None
    axis: int
    groups: int = 1
    bordered: bool = False  # whether it pads with zeros

    @property
    def alone(self) -> bool:
        """Whether every channel is treated alone."""
        return 1 < self.groups == self.input.shape[self.axis] == self.weight.shape[0]


def read_product(name: str, arguments: dict[str, Any], parameters: dict[int, list[Tensor]]) -> Product | None:
    """A linear or convolutional operation's product, None if it is of another kind.

    `parameters` are a network's, by the address of their memory: a matrix product with a transposed one is linear.
    """
    if name == "linear":
        return Product(arguments["input"], arguments["weight"], arguments["bias"], axis=-1)
    if name == "convolution" and not arguments["transposed"]:
        padded = any(arguments["padding"])
        groups = arguments["groups"]
        return Product(arguments["input"], arguments["weight"], arguments["bias"], 1, groups, padded)
    if name in ("mm", "matmul", "addmm"):
        first, second, bias = _factors(name, arguments)
        weights = parameters.get(second.untyped_storage().data_ptr(), ())
        weight = next((w for w in weights if w.dim() == 2 and layout(second) == layout(w.t())), None)
        if weight is not None and (bias is None or _is_plain(arguments)):
            return Product(first, weight, bias, axis=-1)
    return None


def is_as_usual(module: nn.Module) -> bool:
    """Whether a layer's forward pass is the one that torch gives such layers, so that it adds a bias if it has one."""
    own = {"forward", "_conv_forward"} & vars(module).keys()
    inner = getattr(type(module), "_conv_forward", None)
    plain = inner is None or inner in (nn.Conv1d._conv_forward, nn.Conv2d._conv_forward, nn.Conv3d._conv_forward)
    return not own and plain and type(module).forward in PLAIN


def _factors(name: str, arguments: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor | None]:
    if name == "addmm":
        return arguments["mat1"], arguments["mat2"], arguments["self"]
    return arguments["self"], arguments["other" if name == "matmul" else "mat2"], None


def _is_plain(arguments: dict[str, Any]) -> bool:
    return bool(arguments["alpha"] == 1 and arguments["beta"] == 1)

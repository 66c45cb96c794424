"""Compares a reduced network with the silenced one in the precision that they are used in.

Constants are measured in float64. What code takes from the dtype (`torch.finfo(x.dtype).eps`) is another number there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.removal.passes import reason_of, unchanged_seed
from benchmark.removal.proof import RemovalError, relative, tensors
from benchmark.removal.tensors import copy_with, tensors_of

LEAST, ROUNDINGS = 1e-2, 64  # a relative difference of LEAST, or of so many roundings, may be rounding alone
CANCELLED = 1e-3  # of the largest output: smaller ones may be nothing but rounding


def check_in_own_precision(module: nn.Module, reduced: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Raises RemovalError where two networks, each in its own dtypes, differ by more than rounding on a batch.

    Rounding grows on its way through a network, so the limit is loose; what is exact in float64 is not doubted by it.
    Nothing is compared where the module is in float64, or where the processor lacks what it needs.
    """
    real = [x for x in (*tensors_of(module), *inputs) if x.is_floating_point()]
    coarsest = max((torch.finfo(x.dtype).eps for x in real), default=0.0)
    if coarsest <= torch.finfo(torch.float64).eps:
        return
    with torch.no_grad(), unchanged_seed(inputs[0]):
        try:
            expected = _outputs(module, inputs)
        except Exception:
            return
        try:
            found = _outputs(reduced, inputs)
        except Exception as error:
            raise RemovalError(f"the reduced network does not run in its own precision: {reason_of(error)}") from error
    deviation = relative(*_where_finite(found, expected), noise=CANCELLED)
    if not deviation <= max(LEAST, ROUNDINGS * coarsest):
        raise RemovalError(
            f"in its own precision the reduced network deviates from the silenced one by {deviation:.3g}"
        )


def _where_finite(found: list[Tensor], expected: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs with zeros where those expected are not finite, as in float64 they are: nothing is known there."""
    if [y.shape for y in found] == [y.shape for y in expected]:
        lost = [~y.isfinite() for y in expected]
        found, expected = ([*map(torch.masked_fill, ys, lost, [0] * len(ys))] for ys in (found, expected))
    return found, expected


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """A network's real outputs in evaluation mode; decisions, which rounding may turn, are left out."""
    outputs = copy_with(module, lambda tensor: tensor).eval()(*[x.clone() for x in inputs])
    return [y.double() for y in tensors(outputs, decisions=False)]

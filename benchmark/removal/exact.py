"""Removes silent channels from a network, exactly, and proves that nothing changed.

A channel is silent if what each of its readers receives does not depend on the network's input, or meets only zero
weights. What it emits is measured, not derived: a forward pass in evaluation mode and float64 shows the constant c_j
that a reader with weights W receives on channel j. Before the channel goes,

- a reader that sees the constant at every position takes it into its bias, b ← b + Σ_j c_j Σ_positions W_j;
- a zero-padded convolution does not see it beyond the border, so one constant channel stays there as the carrier and
  takes over the others, W_carrier ← W_carrier + Σ_j (c_j / c_carrier) W_j.

Where a layer would be left without channels, or a grouped convolution with uneven groups, silent channels stay, unread.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from benchmark.errors import first_line
from benchmark.removal.groups import hidden_groups, reasons_to_keep
from benchmark.removal.labels import UntraceableError
from benchmark.removal.proof import RemovalError, attack
from benchmark.removal.silence import find_silence
from benchmark.removal.slicing import slice_network
from benchmark.removal.trace import trace, unchanged_seed

TOLERANCE = 1e-6  # the largest relative deviation of a logit that still counts as exact


@dataclass(frozen=True)
class Removal:
    """A reduced network and what was done to get it."""

    module: nn.Module
    channels: dict[str, int]  # hidden channels before, by group
    channels_left: dict[str, int]  # and after
    deviation: float  # largest |Δlogit| over largest |logit| that a search found, in float64
    collapsed: bool  # whether a group had no living channel, and kept one
    kept_whole: dict[str, str] = field(default_factory=dict)  # groups that cannot be removed from, and why
    tried: dict[str, int] = field(default_factory=dict)  # samples on which the networks were compared, by kind


def remove_silent(module: nn.Module, example: Tensor) -> Removal:
    """Removes every silent channel of `module`; returns a reduced copy and leaves `module` as it is.

    `example` is a real batch (N × …) on the module's device. The copy keeps the module's class, dtypes, modes and layer
    names; its layers are smaller. It equals the module in evaluation mode: the deviation is the largest that `attack`
    finds, in float64, starting from the example. Raises UntraceableError where the forward pass cannot be followed,
    RemovalError where outputs are not finite or the deviation exceeds 1e-6.

        removal = remove_silent(network, images)   # images: (N, C, H, W), network: any torch.nn.Module
        removal.module(images)                     # what network.eval()(images) was, from a smaller network
    """
    if not isinstance(example, Tensor):
        raise UntraceableError(f"{type(module).__name__} cannot be followed on several inputs: give one tensor")
    silenced = copy.deepcopy(module, _tensors_in_float64(module)).eval()
    noise = torch.randn(example.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = torch.cat([example.detach().double(), noise.to(example.device)])
    followed = trace(silenced, batch)
    groups = hidden_groups(followed)
    kept_whole = reasons_to_keep(followed, groups)
    with torch.no_grad(), unchanged_seed(batch):
        expected = silenced(batch)
        _check_finite(expected, module)
        removable = {name: ids for name, ids in groups.items() if name not in kept_whole}
        silence = find_silence(followed, dict(silenced.named_modules()), removable)
        reduced = slice_network(silenced, followed, silence)
        deviation = _deviation(reduced, batch, expected)
        proof = attack(silenced, reduced, (batch[: len(example)],))
    _check_equal(deviation, "the example and noise")
    _check_equal(proof.deviation, proof.worst)
    return Removal(
        module=_like(module, reduced),
        channels={name: len(ids) for name, ids in groups.items()},
        channels_left={name: int((~silence.gone[ids]).sum()) for name, ids in groups.items()},
        deviation=max(deviation, proof.deviation),
        collapsed=silence.collapsed,
        kept_whole=kept_whole,
        tried={"example": len(example), **proof.tried},
    )


def _tensors_in_float64(module: nn.Module) -> dict[int, Tensor]:
    """A memo that makes deepcopy take every parameter and buffer over in float64, without a copy in between."""
    memo: dict[int, Tensor] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
        copied = tensor.detach().to(dtype, copy=True)
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(copied, requires_grad=tensor.requires_grad) if is_parameter else copied
    return memo


def _check_finite(outputs: Tensor, module: nn.Module) -> None:
    if torch.isfinite(outputs).all():
        return
    broken = [name for name, tensor in module.state_dict().items() if not torch.isfinite(tensor).all()]
    cause = f": {broken[0]} holds NaN or infinite values" if broken else ""
    raise RemovalError(f"the silenced network's outputs are not finite{cause}")


def _check_equal(deviation: float, kind: str) -> None:
    if not deviation <= TOLERANCE:
        raise RemovalError(
            f"the reduced network deviates from the silenced one by {deviation:.3g} on {kind}, over {TOLERANCE:g}"
        )


def _deviation(reduced: nn.Module, batch: Tensor, expected: Tensor) -> float:
    """The largest |Δlogit| over the largest |logit|."""
    try:
        found = reduced(batch)
    except RuntimeError as error:
        raise RemovalError(f"the reduced network does not run: {first_line(error)}") from error
    scale = expected.abs().max().item()
    return (found - expected).abs().max().item() / (scale if scale > 0 else 1.0)


@torch.no_grad()
def _like(module: nn.Module, reduced: nn.Module) -> nn.Module:
    """The reduced network in the dtypes and the modes of the original."""
    for new, old in zip(reduced.modules(), module.modules(), strict=True):
        new.training = old.training
        for name, parameter in new.named_parameters(recurse=False):
            like = old._parameters[name] if old._parameters[name] is not None else old.weight
            parameter.data = parameter.data.to(like.dtype)
        for name, buffer in new.named_buffers(recurse=False):
            setattr(new, name, buffer.to(old._buffers[name].dtype))
    return reduced

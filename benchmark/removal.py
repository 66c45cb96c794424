"""Removes silent channels from a network, exactly, and proves that nothing changed.

A channel is silent if what each of its readers receives does not depend on the network's input, or meets only zero
weights. What it emits is measured, not derived: a forward pass in evaluation mode and float64 shows the constant c_j
that a reader with weights W receives on channel j. Before the channel goes,

- a reader that sees the constant at every position takes it into its bias, b ← b + Σ_j c_j Σ_positions W_j;
- a zero-padded convolution does not see it beyond the border, so one constant channel stays there as the carrier and
  takes over the others, W_carrier ← W_carrier + Σ_j (c_j / c_carrier) W_j.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.groups import hidden_groups
from benchmark.silence import Silence, find_silence, sees_constants_everywhere
from benchmark.trace import NORMS, Trace, trace

TOLERANCE = 1e-6  # the largest relative deviation of a logit that still counts as exact


class RemovalError(ValueError):
    """The reduced network would not equal the silenced one."""


@dataclass(frozen=True)
class Removal:
    """A reduced network and what was done to get it."""

    module: nn.Module
    channels: dict[str, int]  # hidden channels before, by group
    channels_left: dict[str, int]  # and after
    deviation: float  # largest |Δlogit| over largest |logit|, in float64, on a real and a random batch
    collapsed: bool  # whether a group had no living channel, and kept one
    kept_whole: dict[str, str] = field(default_factory=dict)  # groups that cannot be removed from, and why


def remove_silent(module: nn.Module, example: Tensor) -> Removal:
    """Removes every silent channel of `module`; returns a reduced copy and leaves `module` as it is.

    `example` is a real batch (N × …) on the module's device. The copy keeps the module's class, dtype, modes and layer
    names; its layers are smaller. It equals the module in evaluation mode: the deviation is measured in float64 on the
    example and on random input of the same shape. Raises UntraceableError where the forward pass cannot be followed,
    RemovalError where outputs are not finite or the deviation exceeds 1e-6.
    """
    silenced = copy.deepcopy(module).double().eval()
    noise = torch.randn(example.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = torch.cat([example.detach().double(), noise.to(example.device)])
    followed = trace(silenced, batch)
    groups = hidden_groups(followed)
    with torch.no_grad():
        expected = silenced(batch)
    if not torch.isfinite(expected).all():
        raise RemovalError("the silenced network's outputs are not finite")
    silence = find_silence(followed, dict(silenced.named_modules()), groups, batch)
    reduced = _reduce(silenced, followed, silence)
    deviation = _deviation(reduced, batch, expected)
    if not deviation <= TOLERANCE:
        raise RemovalError(f"the reduced network deviates from the silenced one by {deviation:.3g}, over {TOLERANCE:g}")
    dead = list(silence.dead)
    return Removal(
        module=_like(module, reduced),
        channels={name: len(ids) for name, ids in groups.items()},
        channels_left={name: int((~np.isin(ids, dead)).sum()) for name, ids in groups.items()},
        deviation=deviation,
        collapsed=silence.collapsed,
        kept_whole=_kept_whole(followed, groups),
    )


def _deviation(reduced: nn.Module, batch: Tensor, expected: Tensor) -> float:
    """The largest |Δlogit| over the largest |logit|."""
    try:
        with torch.no_grad():
            found = reduced(batch)
    except RuntimeError as error:
        raise RemovalError(f"the reduced network does not run: {str(error).splitlines()[0]}") from error
    scale = expected.abs().max().item()
    return (found - expected).abs().max().item() / (scale if scale > 0 else 1.0)


def _like(module: nn.Module, reduced: nn.Module) -> nn.Module:
    """The reduced network in the dtype and the modes of the original."""
    reduced.to(next(p.dtype for p in module.parameters() if p.is_floating_point()))
    for new, old in zip(reduced.modules(), module.modules(), strict=True):
        new.training = old.training
    return reduced


def _kept_whole(followed: Trace, groups: dict[str, np.ndarray]) -> dict[str, str]:
    reasons = {}
    for name, ids in groups.items():
        pinned = [followed.pinned[i] for i in ids.tolist() if i in followed.pinned]
        if pinned:
            reasons[name] = pinned[0]
    return reasons


@torch.no_grad()
def _reduce(silenced: nn.Module, followed: Trace, silence: Silence) -> nn.Module:
    """A copy of the silenced network without the dead channels."""
    reduced = copy.deepcopy(silenced)
    layers = dict(reduced.named_modules())
    dead = list(silence.dead)
    for name in followed.reads:
        _hand_over_constants(name, layers, followed, silence)
    for name, labels in followed.writes.items():
        _keep_outputs(layers[name], torch.from_numpy(np.flatnonzero(~np.isin(labels, dead))))
    for name, labels in followed.reads.items():
        _keep_inputs(layers[name], torch.from_numpy(np.flatnonzero(~np.isin(labels, dead))))
    return reduced


def _hand_over_constants(name: str, layers: dict[str, nn.Module], followed: Trace, silence: Silence) -> None:
    """Makes a reader independent of the dead channels that it reads."""
    layer = layers[name]
    going = np.isin(followed.reads[name], list(silence.dead))
    constants = torch.from_numpy(np.where(going, np.nan_to_num(silence.constants[name]), 0.0)).to(layer.weight.device)
    if not constants.any():
        return
    by_input = layer.weight.flatten(2) if layer.weight.dim() > 2 else layer.weight[:, :, None]
    if sees_constants_everywhere(layer):
        _shift(name, layers, followed, torch.einsum("oik,i->o", by_input, constants))
    elif name in silence.carriers:
        carrier = silence.carriers[name]
        moved = torch.einsum("oik,i->ok", by_input, constants / float(silence.constants[name][carrier]))
        layer.weight[:, carrier] += moved.view_as(layer.weight[:, carrier])


def _shift(name: str, layers: dict[str, nn.Module], followed: Trace, shift: Tensor) -> None:
    """Adds a constant to a layer's output: in its bias, in the mean of the norm behind it, or in a new bias."""
    layer = layers[name]
    norm = _norm_behind(name, layers, followed)
    if layer.bias is not None:
        layer.bias += shift
    elif norm is not None:
        norm.running_mean -= shift
    else:
        layer.bias = nn.Parameter(shift)


def _norm_behind(name: str, layers: dict[str, nn.Module], followed: Trace) -> nn.Module | None:
    """The batch norm that alone, and only once, receives the layer's output."""
    calls = [node for node in followed.graph.graph.nodes if node.op == "call_module"]
    mine = [node for node in calls if node.target == name]
    users = list(mine[0].users) if len(mine) == 1 else []
    if len(users) != 1 or users[0] not in calls or not isinstance(layers[users[0].target], NORMS):
        return None
    norm = users[0].target
    return layers[norm] if sum(node.target == norm for node in calls) == 1 else None


def _parameter(old: nn.Parameter | None, new: Tensor) -> nn.Parameter:
    return nn.Parameter(new.clone(), requires_grad=old.requires_grad)


def _keep_outputs(layer: nn.Module, kept: Tensor) -> None:
    kept = kept.to(next(layer.buffers(), next(layer.parameters(), kept)).device)
    for name in ("weight", "bias"):
        old = getattr(layer, name)
        if old is not None:
            setattr(layer, name, _parameter(old, old[kept]))
    if isinstance(layer, NORMS):
        layer.running_mean, layer.running_var = layer.running_mean[kept].clone(), layer.running_var[kept].clone()
        layer.num_features = len(kept)
    elif isinstance(layer, nn.Linear):
        layer.out_features = len(kept)
    else:
        layer.out_channels = len(kept)
        if layer.groups > 1:
            layer.in_channels = layer.groups = len(kept)


def _keep_inputs(layer: nn.Module, kept: Tensor) -> None:
    layer.weight = _parameter(layer.weight, layer.weight[:, kept.to(layer.weight.device)])
    if isinstance(layer, nn.Linear):
        layer.in_features = len(kept)
    else:
        layer.in_channels = len(kept)

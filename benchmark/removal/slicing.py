"""Takes channels out of a network's layers, after handing over what they emit."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, fx, nn

from benchmark.removal.labels import Trace
from benchmark.removal.operations import (
    NORMS,
    convolution_groups,
    function_name,
    is_depthwise,
    passes_constants_on,
    sees_constants_everywhere,
)
from benchmark.removal.silence import Silence


@torch.no_grad()
def slice_network(silenced: nn.Module, followed: Trace, silence: Silence) -> nn.Module:
    """A copy of the silenced network without the channels that are gone; unchanged tensors are shared with it."""
    reduced = copy.deepcopy(silenced, {id(tensor): tensor for tensor in (*silenced.parameters(), *silenced.buffers())})
    layers = dict(reduced.named_modules())
    kept = ~silence.gone
    for name in followed.reads:
        _hand_over_constants(name, layers, followed, silence)
    for name, labels in followed.writes.items():
        _keep_outputs(layers[name], kept[labels])
    for name, labels in followed.reads.items():
        _keep_inputs(layers[name], kept[labels])
    return reduced


def _hand_over_constants(name: str, layers: dict[str, nn.Module], followed: Trace, silence: Silence) -> None:
    """Makes a reader independent of the dead channels that it reads."""
    layer, ids = layers[name], followed.reads[name]
    constants = np.where(silence.dead[ids], np.nan_to_num(silence.constants[name]), 0.0)
    if constants.any() and sees_constants_everywhere(layer):
        _shift(name, layers, followed, _response(layer, constants))
    elif name in silence.carriers:
        _load_carriers(layer, constants, silence.constants[name], silence.carriers[name])
    if silence.husks[ids].any():
        blocks = convolution_groups(layer)
        weight = layer.weight.clone().unflatten(0, (blocks, -1))
        for block, unread in zip(weight, np.split(silence.husks[ids], blocks), strict=True):
            block[:, np.flatnonzero(unread)] = 0
        _set(layer, "weight", weight.flatten(0, 1))


def _response(layer: nn.Module, constants: np.ndarray) -> Tensor:
    """What constant inputs add to each output channel, Σ_j c_j Σ_positions W_j."""
    blocks = convolution_groups(layer)
    weight = layer.weight if layer.weight.dim() == 2 else layer.weight.flatten(2).sum(-1)
    inputs = torch.from_numpy(constants).to(weight).view(blocks, -1, 1)
    return (weight.unflatten(0, (blocks, -1)) @ inputs).flatten()


def _load_carriers(layer: nn.Module, constants: np.ndarray, emitted: np.ndarray, carriers: dict[int, int]) -> None:
    """Adds to each carrier's weights those of the constants that it takes over, in units of what it emits."""
    blocks = convolution_groups(layer)
    weight = layer.weight.clone().unflatten(0, (blocks, -1))
    width = weight.shape[2]
    for block, carrier in carriers.items():
        units = constants[block * width : (block + 1) * width] / emitted[carrier]
        moved = torch.einsum("oi...,i->o...", weight[block], torch.from_numpy(units).to(weight))
        weight[block, :, carrier % width] += moved
    _set(layer, "weight", weight.flatten(0, 1))


def _shift(name: str, layers: dict[str, nn.Module], followed: Trace, shift: Tensor) -> None:
    """Adds a constant to a layer's output: in its bias, in the means of the norms behind it, or in a new bias."""
    layer = layers[name]
    norms = [] if layer.bias is not None else _norms_behind(name, layers, followed)
    for norm, positions in norms:
        norm.running_mean = norm.running_mean.index_add(0, positions.to(shift.device), shift, alpha=-1)
    if layer.bias is not None:
        _set(layer, "bias", layer.bias + shift)
    elif not norms:
        layer.bias = nn.Parameter(shift)


def _norms_behind(name: str, layers: dict[str, nn.Module], followed: Trace) -> list[tuple[nn.Module, Tensor]]:
    """The batch norms that receive a layer's output, and its channels' places in them; none if others receive it."""
    calls: dict[str, list[fx.Node]] = {}
    for node in followed.graph.nodes:
        if node.op == "call_module":
            calls.setdefault(node.target, []).append(node)
    if len(calls[name]) > 1:
        return []
    norms = []
    pending = [(calls[name][0], torch.arange(len(followed.writes[name])))]
    while pending:
        node, places = pending.pop()
        for user in node.users:
            layer = layers[user.target] if user.op == "call_module" else None
            if isinstance(layer, NORMS) and user.target in followed.writes and len(calls[user.target]) == 1:
                norms.append((layer, places))
            elif layer is not None and passes_constants_on(layer):
                pending.append((user, places))
            elif function_name(user) in ("cat", "concat") and user.name in followed.concatenations:
                pending += [(user, places + offset) for offset in _offsets(node, user, followed)]
            else:
                return []
    return norms


def _offsets(node: fx.Node, concatenation: fx.Node, followed: Trace) -> list[int]:
    """Where a node's channels begin in a concatenation."""
    parts = followed.concatenations[concatenation.name]
    widths = [len(followed.labels[part].ids) for part in parts]
    return [sum(widths[:index]) for index, part in enumerate(parts) if part == node.name]


def _set(layer: nn.Module, name: str, value: Tensor) -> None:
    setattr(layer, name, nn.Parameter(value, requires_grad=getattr(layer, name).requires_grad))


def _keep_outputs(layer: nn.Module, kept: np.ndarray) -> None:
    if kept.all():
        return
    rows, count = torch.from_numpy(np.flatnonzero(kept)), int(kept.sum())
    for name in ("weight", "bias"):
        old = getattr(layer, name)
        if old is not None:
            _set(layer, name, old.index_select(0, rows.to(old.device)))
    if isinstance(layer, NORMS):
        rows = rows.to(layer.running_mean.device)
        layer.running_mean, layer.running_var = layer.running_mean[rows], layer.running_var[rows]
        layer.num_features = count
    elif isinstance(layer, nn.Linear):
        layer.out_features = count
    else:
        if is_depthwise(layer):
            layer.in_channels = layer.groups = count
        layer.out_channels = count


def _keep_inputs(layer: nn.Module, kept: np.ndarray) -> None:
    if kept.all():
        return
    blocks = [np.flatnonzero(block) for block in np.split(kept, convolution_groups(layer))]
    present = [index for index in blocks if len(index)]
    rows = layer.weight.unflatten(0, (len(present), -1))
    sliced = [
        block.index_select(1, torch.from_numpy(i).to(block.device)) for block, i in zip(rows, present, strict=True)
    ]
    _set(layer, "weight", sliced[0] if len(sliced) == 1 else torch.cat(sliced))
    if isinstance(layer, nn.Linear):
        layer.in_features = int(kept.sum())
    else:
        layer.in_channels, layer.groups = int(kept.sum()), len(present)

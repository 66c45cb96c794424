"""Takes channels out of a network's layers, after handing over what they emit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.removal.labels import Ids, Layer, Mask, Module, Size, Trace, Values
from benchmark.removal.order import Order
from benchmark.removal.packing import Packing
from benchmark.removal.shifts import norms_behind
from benchmark.removal.silence import Silence
from benchmark.removal.tensors import copy_with

Pick = Callable[[Tensor, int, Ids], Tensor]  # of a tensor, along an axis, the channels at these places
Places = Callable[[Ids], Ids]  # of some labels the places of those that stay, in their order


@torch.no_grad()
def slice_network(silenced: nn.Module, followed: Trace, silence: Silence) -> nn.Module:
    """A copy of the silenced network without the channels that are gone; unchanged tensors are shared with it."""
    reduced = copy_with(silenced, lambda tensor: tensor)
    layers = dict(reduced.named_modules())
    for layer in followed.dense.values():
        _hand_over_constants(layer, layers, followed, silence)
    _narrow(layers, followed, order_left(~silence.gone, silence.packings).places, _select, silence.packings)
    return reduced


@torch.no_grad()
def narrow_network(module: nn.Module, followed: Trace, order: Order, values: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy of a network with the widths that it has without some channels, and any values of its tensors."""
    narrow = copy_with(module, values)
    _narrow(dict(narrow.named_modules()), followed, order.places, _first)
    return narrow


def _first(tensor: Tensor, axis: int, places: Ids) -> Tensor:
    return tensor.narrow(axis, 0, len(places))


def _select(tensor: Tensor, axis: int, places: Ids) -> Tensor:
    return tensor.index_select(axis, torch.from_numpy(places).to(tensor.device))


def order_left(kept: Mask, packings: dict[str, Packing] | None = None) -> Order:
    """The order of the kept channels; those that packed groups hold are in the order of these."""
    if not packings:
        return Order(kept)
    rank = np.zeros(len(kept), dtype=np.int64)
    for packing in packings.values():
        rank[packing.labels] = np.arange(len(packing.labels))
    return Order(kept, rank)


def _narrow(
    layers: dict[str, Module],
    followed: Trace,
    places: Places,
    pick: Pick,
    packings: dict[str, Packing] | None = None,
) -> None:
    for size in followed.sizes:
        _keep_size(layers[size.owner], size, len(places(size.labels)))
    for name, layer in followed.layers.items():
        _keep_outputs(layers[name], layer, places(layer.writes), pick)
    for name, layer in followed.dense.items():
        if packings and name in packings:
            _pack_inputs(layers[name], layer, packings[name])
        else:
            _keep_inputs(layers[name], layer, places, pick)
    for name, layer in followed.idle.items():
        if layer.reads is None:
            _keep_outputs(layers[name], layer, places(layer.writes), pick)
        else:
            _keep_inputs(layers[name], layer, places, pick)
    for (owner, key), labels in followed.parameters.items():
        if _changed(left := places(labels), labels):
            tensor = getattr(layers[owner], key)
            _set(layers[owner], key, pick(tensor, int(np.argmax(tensor.shape)), left))


def _changed(places: Ids, labels: Ids) -> bool:
    return not np.array_equal(places, np.arange(len(labels)))


def _hand_over_constants(layer: Layer, layers: dict[str, Module], followed: Trace, silence: Silence) -> None:
    """Makes a reader independent of the dead channels that it reads."""
    assert layer.reads is not None
    module, ids, emitted = layers[layer.name], layer.reads, silence.constants[layer.name]
    constants = np.where(silence.dead[ids], np.nan_to_num(emitted), 0.0)
    if layer.name in silence.carriers:
        _load_carriers(module, layer.blocks, constants, emitted, silence.carriers[layer.name])
    elif constants.any() and not layer.bordered:
        _shift(layer, layers, followed, _response(module, layer.blocks, constants))
    if silence.husks[ids].any():
        weight = module.weight.clone().unflatten(0, (layer.blocks, -1))
        for block, unread in zip(weight, np.split(silence.husks[ids], layer.blocks), strict=True):
            block[:, np.flatnonzero(unread)] = 0
        _set(module, "weight", weight.flatten(0, 1))


def _response(module: Module, blocks: int, constants: Values) -> Tensor:
    """What constant inputs add to each output channel, Σ_j c_j Σ_positions W_j."""
    weight = module.weight if module.weight.dim() == 2 else module.weight.flatten(2).sum(-1)
    inputs = torch.from_numpy(constants).to(weight).view(blocks, -1, 1)
    response: Tensor = (weight.unflatten(0, (blocks, -1)) @ inputs).flatten()
    return response


def _load_carriers(module: Module, blocks: int, constants: Values, emitted: Values, carriers: dict[int, int]) -> None:
    """Adds to each carrier's weights those of the constants that it takes over, in units of what it emits."""
    weight = module.weight.clone().unflatten(0, (blocks, -1))
    width = weight.shape[2]
    for block, carrier in carriers.items():
        units = constants[block * width : (block + 1) * width] / emitted[carrier]
        moved = torch.einsum("oi...,i->o...", weight[block], torch.from_numpy(units).to(weight))
        weight[block, :, carrier % width] += moved
    _set(module, "weight", weight.flatten(0, 1))


def _shift(layer: Layer, layers: dict[str, Module], followed: Trace, shift: Tensor) -> None:
    """Adds a constant to a layer's output: in its bias, in the means of the norms behind it, or in a new bias.

    Where a layer has none of these, its constants reach no output that matters: else a carrier would hold them.
    """
    module = layers[layer.name]
    if layer.takes_bias and getattr(module, "bias", None) is not None:
        _set(module, "bias", module.bias + shift)
        return
    targets = norms_behind(followed, layer)
    for target in targets:
        norm = layers[target.norm.name]
        places, outputs = (torch.from_numpy(ids).to(shift.device) for ids in (target.places, target.outputs))
        norm.running_mean = norm.running_mean.index_add(0, places, shift[outputs], alpha=-1)
    if not targets and layer.takes_bias:
        module.bias = nn.Parameter(shift, requires_grad=module.weight.requires_grad)


def _set(module: Module, name: str, value: Tensor) -> None:
    old = getattr(module, name)
    setattr(module, name, nn.Parameter(value, old.requires_grad) if isinstance(old, nn.Parameter) else value)


def _keep_outputs(module: Module, layer: Layer, places: Ids, pick: Pick) -> None:
    if not _changed(places, layer.writes):
        return
    count = len(places)
    names = ("weight", "bias") if layer.reads is not None else ("weight", "bias", "running_mean", "running_var")
    for name in names:
        if getattr(module, name, None) is not None:
            _set(module, name, pick(getattr(module, name), 0, places))
    if layer.is_norm:
        _resize(module, num_features=count)
    elif layer.reads is None:
        _resize(module, in_channels=count, groups=count, out_channels=count)
    else:
        _resize(module, out_features=count, out_channels=count)


def _keep_inputs(module: Module, layer: Layer, places: Places, pick: Pick) -> None:
    assert layer.reads is not None
    left = [places(block) for block in np.split(layer.reads, layer.blocks)]
    count = sum(map(len, left))
    if count == len(layer.reads) and not any(map(_changed, left, np.split(layer.reads, layer.blocks))):
        return
    present = [index for index in left if len(index)]
    rows = module.weight.unflatten(0, (len(present), -1))
    sliced = [pick(block, 1, index) for block, index in zip(rows, present, strict=True)]
    _set(module, "weight", sliced[0] if len(sliced) == 1 else torch.cat(sliced))
    _resize(module, in_features=count, in_channels=count, groups=len(present))


def _pack_inputs(module: Module, layer: Layer, packing: Packing) -> None:
    """Lays the weights of old groups in blocks into the new ones; the outputs are in their new order already."""

    def old(labels: Ids, own: Ids) -> tuple[Ids, Ids]:
        """The group that each label was in, and its place there."""
        order = np.argsort(own)
        groups, places = np.divmod(order[np.searchsorted(own, labels, sorter=order)], len(own) // layer.blocks)
        return groups, places

    assert layer.reads is not None
    (sources, places), (targets, _) = old(packing.reads, layer.reads), old(packing.writes, layer.writes)
    groups, outputs = np.ogrid[: len(targets), : targets.shape[1]]
    weight = module.weight.unflatten(0, targets.shape)
    weight = weight[groups[:, :, None], outputs[:, :, None], places[:, None, :]]
    joined = torch.from_numpy(targets[:, :, None] == sources[:, None, :]).to(weight.device)
    weight = torch.where(joined.view(*joined.shape, *[1] * (weight.dim() - 3)), weight, 0.0)
    _set(module, "weight", weight.flatten(0, 1))
    _resize(module, in_channels=packing.reads.size, groups=len(packing.reads))


def _keep_size(module: Module, size: Size, count: int) -> None:
    if size.place is None:
        return setattr(module, size.key, count)
    counts = list(getattr(module, size.key))
    counts[size.place] = count
    return setattr(module, size.key, type(getattr(module, size.key))(counts))


def _resize(module: Module, **sizes: int) -> None:
    """Tells a module of its new sizes, where it knows them."""
    for name, size in sizes.items():
        if hasattr(module, name):
            setattr(module, name, size)

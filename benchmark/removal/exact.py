"""Removes silent channels from a network, exactly, and proves that nothing changed.

A channel is silent if what each of its readers receives does not depend on the network's input, or meets only zero
weights. That it is a constant is derived, from weights and borders, for inputs of every size; what it is is measured: a
forward pass in evaluation mode and float64 shows the c_j that a reader with weights W receives on channel j. Before the
channel goes,

- a reader that sees the constant at every position takes it into its bias, b ← b + Σ_j c_j Σ_positions W_j;
- a zero-padded convolution does not see it beyond the border, so one constant channel stays there as the carrier and
  takes over the others, W_carrier ← W_carrier + Σ_j (c_j / c_carrier) W_j.

Where a layer would be left without channels, silent ones stay, unread. Where a grouped convolution would be left with
uneven groups, several share one, or silent channels stay, whichever is smaller.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from benchmark.removal.calls import tensors_in
from benchmark.removal.labels import UNFOLLOWED, hidden_groups
from benchmark.removal.passes import as_inputs, check_kind, unchanged_seed
from benchmark.removal.precision import check_in_own_precision
from benchmark.removal.probes import Inputs
from benchmark.removal.proof import Proof, RemovalError, attack
from benchmark.removal.reduction import reduce_network
from benchmark.removal.sizes import mark_sizes
from benchmark.removal.tensors import copy_with
from benchmark.removal.trace import trace

TOLERANCE = 1e-6  # the largest relative deviation of a logit that still counts as exact


@dataclass(frozen=True)
class Removal:
    """A reduced network and what was done to get it."""

    module: nn.Module
    channels: dict[str, int]  # hidden channels before, by group
    channels_left: dict[str, int]  # and after
    deviation: float  # largest |Δ| of an output over its largest |value| that a search found, in float64
    collapsed: bool  # whether a group had no living channel, and kept one
    kept_whole: dict[str, str] = field(default_factory=dict)  # groups that cannot be removed from, and why
    tried: dict[str, int] = field(default_factory=dict)  # samples on which the networks were compared, by kind


def remove_silent(module: nn.Module, example: Tensor | tuple[Tensor, ...]) -> Removal:
    """Removes every silent channel of `module`; returns a reduced copy and leaves `module` as it is.

    `example` is a real batch (N × …) on the module's device, or a tuple of them for a network of several inputs. The
    copy keeps the module's class, dtypes, modes and layer names; its layers are smaller. It equals the module in
    evaluation mode: the deviation is the largest that `attack` finds, in float64, starting from the example. Raises
    UntraceableError where the forward pass cannot be followed, RemovalError where outputs are not finite or the
    deviation exceeds 1e-6, or where the networks differ by more than rounding in their own precision.

        removal = remove_silent(network, images)   # images: (N, C, H, W), network: any torch.nn.Module
        removal.module(images)                     # what network.eval()(images) was, from a smaller network
    """
    inputs = tuple(map(_in_float64, as_inputs(example)))
    check_kind(module)
    silenced = copy_with(module, partial(_in_float64, copied=True)).eval()
    followed = trace(silenced, *inputs)
    mark_sizes(silenced, inputs, followed, module, as_inputs(example))
    groups = hidden_groups(followed)
    reduced, silence, kept_whole = reduce_network(silenced, inputs, followed)
    proof = _prove(silenced, reduced, inputs)
    module_left = _like(module, reduced)
    check_in_own_precision(module, module_left, as_inputs(example))
    return Removal(
        module=module_left,
        channels={name: followed.count(ids) for name, ids in groups.items()} | followed.unfollowed,
        channels_left={name: followed.count(ids[~silence.gone[ids]]) for name, ids in groups.items()}
        | followed.unfollowed,
        deviation=proof.deviation,
        collapsed=silence.collapsed,
        kept_whole=kept_whole | dict.fromkeys(followed.unfollowed, UNFOLLOWED),
        tried=proof.tried,
    )


def _in_float64(tensor: Tensor, copied: bool = False) -> Tensor:
    dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
    values = tensor.detach().to(dtype, copy=copied, memory_format=torch.preserve_format)
    return nn.Parameter(values, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else values


def _prove(silenced: nn.Module, reduced: nn.Module, inputs: Inputs) -> Proof:
    """What the search found. Raises RemovalError where that is more than rounding."""
    with unchanged_seed(inputs[0]):
        proof = attack(silenced, reduced, inputs)
    if not proof.deviation <= TOLERANCE:
        raise RemovalError(
            f"the reduced network deviates from the silenced one by {proof.deviation:.3g} on {proof.worst}, "
            f"over {TOLERANCE:g}"
        )
    return proof


@torch.no_grad()
def _like(module: nn.Module, reduced: nn.Module) -> nn.Module:
    """The reduced network in the dtypes, memory formats and modes of the original, without what runs left behind."""
    for new, old in zip(reduced.modules(), module.modules(), strict=True):
        new.training = old.training
        for name, parameter in new.named_parameters(recurse=False):
            parameter.data = _as(parameter.data, old._parameters[name], old._parameters.get("weight"))
        for name, buffer in new.named_buffers(recurse=False):
            setattr(new, name, _as(buffer, old._buffers[name]))
        for name in [name for name, value in vars(new).items() if name[0] != "_" and tensors_in(value)]:
            delattr(new, name)
            if name in vars(old):
                kept = vars(old)[name]
                setattr(new, name, copy.deepcopy(kept, {id(x): x.detach() for x in tensors_in(kept)}))
    return reduced


def _as(tensor: Tensor, *likes: Tensor | None) -> Tensor:
    like = next(like for like in likes if like is not None)
    lasting = like.dim() == 4 == tensor.dim() and not like.is_contiguous()
    return tensor.to(like.dtype, memory_format=torch.channels_last if lasting else torch.preserve_format)

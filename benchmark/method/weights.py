"""What several methods do to weights: proximal steps, rankings, sums over the layers of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark.method.domains import Variant

if TYPE_CHECKING:
    from benchmark.removal.groups import ChannelGroup, Net, Site


@torch.no_grad()
def soft_threshold(weights: list[Tensor], amount: float) -> None:
    """w ← sign(w) (|w| − amount)₊ for every weight: the proximal step of amount · ‖W‖₁."""
    torch._foreach_sub_(weights, [weight.clamp(-amount, amount) for weight in weights])


@torch.no_grad()
def adam_metric(adam: torch.optim.Adam, weight: Tensor) -> Tensor:
    """D = √v̂ + ε, what Adam divides its step by, shaped like the weight: the metric of a proximal step beside it."""
    state, (_, beta2), eps = adam.state[weight], *(adam.defaults[key] for key in ("betas", "eps"))
    correction = 1 - beta2 ** state["step"].item()
    metric: Tensor = (state["exp_avg_sq"] / correction).sqrt_().add_(eps)
    return metric


@torch.no_grad()
def shrink(group: ChannelGroup, amount: float | Tensor) -> None:
    """w_k ← w_k (1 − a_k / ‖w_k‖₂)₊ for every channel k, a one amount or one a channel: the prox of Σ_k a_k ‖w_k‖₂."""
    group.scale_incoming(_shrunk(group.incoming_norms(), amount))


@torch.no_grad()
def shrink_outgoing(group: ChannelGroup, amount: float | Tensor) -> None:
    """The same for every channel's outgoing weights."""
    group.scale_outgoing(_shrunk(group.outgoing_norms(), amount))


def _shrunk(norms: Tensor, amount: float | Tensor) -> Tensor:
    amounts = torch.as_tensor(amount, dtype=norms.dtype, device=norms.device)
    return (1 - norms.clamp_min_(1e-30).reciprocal_() * amounts).clamp_min_(0)


@torch.no_grad()
def incoming_rows(group: ChannelGroup) -> Tensor:
    """A copy of every channel's incoming weights, one row each, side by side where several positions write it.

    A row ends in zeros where fewer positions write a channel than another.
    """
    blocks = []
    for site in group.writers:
        weights = site.weights()
        block = weights.new_zeros(group.size, site.turns, weights.shape[1])
        block[site.channels, site.turn] = weights[site.positions]
        blocks.append(block.flatten(1))
    return torch.cat(blocks, dim=1)


@torch.no_grad()
def write_incoming_rows(group: ChannelGroup, incoming: Tensor) -> None:
    """Sets every channel's incoming weights from rows as `incoming_rows` gives them."""
    start = 0
    for site in group.writers:
        weight: Tensor = site.layer.weight
        end = start + site.turns * weight[0].numel()
        block = incoming[:, start:end].unflatten(1, (site.turns, -1))
        weight[site.positions] = block[site.channels, site.turn].view(-1, *weight.shape[1:])
        start = end


def share_of(count: int, ratio: float) -> int:
    """How many of `count` a ratio takes, rounded down; 0.7 of 90 is 63, though 0.7 · 90 is a little less in floats."""
    return int(ratio * count + 1e-9)


def lowest(scores: Tensor, ratio: float) -> Tensor:
    """Which `ratio` of the scores (N,) are the lowest, the earlier of equal ones first; bool (N,)."""
    doomed = torch.zeros_like(scores, dtype=torch.bool)
    doomed[scores.argsort(stable=True)[: share_of(len(scores), ratio)]] = True
    return doomed


def scope(default: str) -> Variant:
    """The hyperparameter that says among which channels a method ranks: all, each group's, or those of alike groups.

    Groups are alike (isomorphic) where the types of their writers, norms and readers are the same, in their order.
    A ranking over all may take every channel of a group: no method is kept from emptying a layer.
    Source: Fang et al. 2024, arXiv:2407.04616, for the last. The default is what the method's paper has.
    """
    return Variant(default, ("global", "layer", "isomorphic"))


def pools(net: Net, scope: str) -> list[list[int]]:
    """The groups, by index, among which channels are ranked together: a list for each ranking."""
    if scope == "global":
        return [list(range(len(net.groups)))]
    if scope == "layer":
        return [[i] for i in range(len(net.groups))]
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, group in enumerate(net.groups):
        parts = (group.writers, group.norms, group.readers)
        kind = tuple(tuple(type(site.layer).__name__ for site in sites) for sites in parts)
        alike.setdefault(kind, []).append(i)
    return list(alike.values())


def lowest_channels(net: Net, scores: list[Tensor], ratio: float, scope: str) -> list[Tensor]:
    """Which channels have the lowest scores, `ratio` of every ranking's; scores and answer (bool): (size,) a group."""
    doomed = dict.fromkeys(range(len(scores)), scores[0])
    for pool in pools(net, scope):
        ranked = lowest(torch.cat([scores[i] for i in pool]), ratio)
        doomed.update(zip(pool, ranked.split([len(scores[i]) for i in pool]), strict=True))
    return list(doomed.values())


def silence_lowest(net: Net, scores: list[Tensor], ratio: float, scope: str) -> None:
    """Silences the channels with the lowest scores, `ratio` of every ranking's."""
    for group, doomed in zip(net.groups, lowest_channels(net, scores, ratio, scope), strict=True):
        group.silence(doomed)


def channel_sum(group: ChannelGroup, parts: list[tuple[Site, Tensor]]) -> Tensor:
    """By channel the sum of what its rows in several layers hold: one value a row and site; shape (size,)."""
    total = parts[0][1].new_zeros(group.size)
    for site, values in parts:
        total.index_add_(0, site.channels, values[site.positions])
    return total


def rows(site: Site, values: Tensor, otherwise: float) -> Tensor:
    """A value for each of the layer's outputs, shaped to multiply its weight, from one for each channel (size,)."""
    layer: Any = site.layer
    weight: Tensor = layer.weight
    spread = values.new_full((weight.shape[0],), otherwise)
    spread[site.positions] = values[site.channels]
    return spread.view(-1, *[1] * (weight.dim() - 1))


def columns(site: Site, values: Tensor) -> Tensor:
    """A value for each of a reader's inputs, shaped to multiply its weight; 0 for other groups' channels."""
    layer: Any = site.layer
    weight: Tensor = layer.weight
    blocks = getattr(layer, "groups", 1)
    spread = values.new_zeros(blocks * weight.shape[1])
    spread[site.positions] = values[site.channels]
    by_row = spread.view(blocks, -1).repeat_interleave(weight.shape[0] // blocks, dim=0)
    return by_row.view(*by_row.shape, *[1] * (weight.dim() - 2))

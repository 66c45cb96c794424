"""Channel groups: the hidden channels that live and die together, with the weights that make and use them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from benchmark.removal.labels import UNFOLLOWED, Ids, Module, Trace, UntraceableError, hidden_groups, reasons_to_keep
from benchmark.removal.passes import as_inputs
from benchmark.removal.trace import trace


@dataclass(frozen=True)
class Site:
    """Where a group's channels sit among a layer's outputs (`dim` 0) or inputs (1): `channels[i]` at `positions[i]`."""

    name: str
    layer: Module
    dim: int
    channels: Tensor
    positions: Tensor

    @cached_property
    def turn(self) -> Tensor:
        """For each position how many earlier ones are of the same channel."""
        ordered, order = self.channels.sort(stable=True)
        turn = torch.empty_like(order)
        turn[order] = torch.arange(len(order), device=order.device) - torch.searchsorted(ordered, ordered)
        return turn

    @cached_property
    def turns(self) -> int:
        """At how many positions the channel with the most of them is."""
        return int(self.turn.max()) + 1

    def weights(self) -> Tensor:
        """The layer's weight as positions × everything else, a view where the layout allows."""
        weight: Tensor = self.layer.weight
        if self.dim == 0:
            return weight.flatten(1)
        blocks: int = getattr(self.layer, "groups", 1)
        by_block = weight.view(blocks, -1, *weight.shape[1:])
        return by_block.transpose(1, 2).flatten(0, 1).flatten(1)


@dataclass(frozen=True)
class ChannelGroup:
    """Hidden channels of one width: one layer's outputs, or a residual stream's."""

    name: str
    size: int
    writers: tuple[Site, ...]  # layers that produce the channels: their incoming weights
    norms: tuple[Site, ...]  # batch norms on them that have γ
    readers: tuple[Site, ...]  # layers that consume them: their outgoing weights

    @cached_property
    def fan_in(self) -> Tensor:
        """How many incoming weights each channel has, |g| in the group lasso; float64, shape (size,)."""
        return self._counts(self.writers)

    @cached_property
    def fan_out(self) -> Tensor:
        """How many outgoing weights each channel has; float64, shape (size,)."""
        return self._counts(self.readers)

    @torch.no_grad()
    def incoming_norms(self, p: float = 2) -> Tensor:
        """‖w_k‖_p of every channel's incoming weights, without biases; shape (size,)."""
        return self._norms(self.writers, p)

    @torch.no_grad()
    def outgoing_norms(self, p: float = 2) -> Tensor:
        """‖·‖_p of every channel's outgoing weights; shape (size,)."""
        return self._norms(self.readers, p)

    @torch.no_grad()
    def scales(self) -> Tensor:
        """|γ| of every channel, the mean over the norms on it; shape (size,). Raises ValueError without a norm."""
        if not self.norms:
            raise ValueError(f"group {self.name} has no batch norm, so its channels have no scale")
        total: Tensor = self.norms[0].layer.weight.new_zeros(self.size)
        count = torch.zeros_like(total)
        for site in self.norms:
            total.index_add_(0, site.channels, site.layer.weight.abs()[site.positions])
            count.index_add_(0, site.channels, count.new_ones(len(site.channels)))
        return total / count.clamp_min_(1)

    def _counts(self, sites: tuple[Site, ...]) -> Tensor:
        device = (self.writers or self.readers)[0].channels.device
        total = torch.zeros(self.size, dtype=torch.float64, device=device)
        for site in sites:
            total.index_add_(0, site.channels, total.new_full((len(site.channels),), site.weights().shape[1]))
        return total

    def _norms(self, sites: tuple[Site, ...], p: float) -> Tensor:
        parts = [(site, torch.linalg.vector_norm(site.weights(), ord=p, dim=1)) for site in sites]
        if len(parts) == 1 and len(parts[0][0].positions) == self.size:
            site, norms = parts[0]
            return torch.empty_like(norms[: self.size]).index_copy_(0, site.channels, norms[site.positions])
        total = torch.zeros(self.size, dtype=parts[0][1].dtype, device=parts[0][1].device)
        for site, norms in parts:
            total.index_add_(0, site.channels, norms[site.positions] ** p)
        return total ** (1 / p)

    @torch.no_grad()
    def scale_incoming(self, factors: Tensor) -> None:
        """Multiplies each channel's incoming weights by its factor, in place; `factors` has shape (size,)."""
        for site in self.writers:
            scale = torch.ones(site.layer.weight.shape[0], dtype=factors.dtype, device=factors.device)
            scale[site.positions] = factors[site.channels]
            site.layer.weight.mul_(scale.view(-1, *[1] * (site.layer.weight.dim() - 1)))

    @torch.no_grad()
    def scale_outgoing(self, factors: Tensor) -> None:
        """Multiplies each channel's outgoing weights by its factor, in place; `factors` has shape (size,)."""
        for site in self.readers:
            by_group = site.layer.weight.unflatten(0, (getattr(site.layer, "groups", 1), -1))
            scale = factors.new_ones(by_group.shape[0] * by_group.shape[2])
            scale[site.positions] = factors[site.channels]
            by_group.mul_(scale.view(by_group.shape[0], 1, by_group.shape[2], *[1] * (by_group.dim() - 3)))

    @torch.no_grad()
    def zero_incoming(self, doomed: Tensor) -> None:
        """Sets the incoming weights of the doomed channels (bool, shape (size,)) to zero, leaving what they emit."""
        for site in self.writers:
            site.layer.weight[site.positions[doomed[site.channels]]] = 0

    @torch.no_grad()
    def silence(self, doomed: Tensor) -> None:
        """Sets all that makes the doomed channels to zero: incoming weights, biases, γ, β; they emit f(0)."""
        self.zero_incoming(doomed)
        for site in (*self.writers, *self.norms):
            positions = site.positions[doomed[site.channels]]
            for parameter in (site.layer.bias, site.layer.weight if site in self.norms else None):
                if parameter is not None:
                    parameter[positions] = 0


@dataclass
class Net:
    """A network as methods see it: the module, its channel groups, and its layers' weights."""

    module: nn.Module
    groups: list[ChannelGroup]
    kept_whole: dict[str, str] = field(default_factory=dict)  # hidden groups that cannot be removed from, and why
    hidden_channels: int = 0
    features: list[ChannelGroup] = field(default_factory=list)  # what a dense layer reads one by one; without writers

    @property
    def weights(self) -> list[nn.Parameter]:
        """The weights of all linear and convolutional layers, the output layer's too; no biases, no norms."""
        return [p for n, p in self.module.named_parameters() if n.endswith("weight") and p.dim() > 1]

    @torch.no_grad()
    def incoming_norms(self) -> Tensor:
        """‖w_k‖₂ of every channel of every group, in order; none where all groups are kept whole."""
        norms = [group.incoming_norms() for group in self.groups]
        return torch.cat(norms) if norms else torch.zeros(0)


def find_groups(module: nn.Module, example: Tensor | tuple[Tensor, ...]) -> Net:
    """The network's channel groups, found by tracing it on a batch; raises UntraceableError where that fails."""
    return net_from_trace(module, trace(module, *as_inputs(example)))


def net_from_trace(module: nn.Module, followed: Trace) -> Net:
    """The network with its hidden channel groups; groups with a pinned channel are kept whole."""
    groups = hidden_groups(followed)
    kept_whole = reasons_to_keep(followed, groups)
    removable = [_group(module, followed, name, ids) for name, ids in groups.items() if name not in kept_whole]
    kept_whole |= dict.fromkeys(followed.unfollowed, UNFOLLOWED)
    hidden = sum(map(followed.count, groups.values())) + sum(followed.unfollowed.values())
    return Net(module, removable, kept_whole, hidden)


def check_removable(net: Net) -> None:
    """Raises UntraceableError, with the first layer's name and the reason, if no channel can be removed exactly."""
    if net.groups:
        return
    kind = type(net.module).__name__
    for name, reason in net.kept_whole.items():
        raise UntraceableError(f"no channel of {kind} can be removed exactly: {name} is kept whole, because {reason}")
    raise UntraceableError(f"no channel of {kind} can be removed: it has no hidden linear or convolutional layer")


def _group(module: nn.Module, followed: Trace, name: str, ids: Ids) -> ChannelGroup:
    device = next(module.parameters()).device
    place = {label: index for index, label in enumerate(ids.tolist())}

    def sites(labels: dict[str, Ids], dim: int) -> list[Site]:
        found = []
        for layer, own in labels.items():
            pairs = [(place[label], i) for i, label in enumerate(own.tolist()) if label in place]
            if pairs:
                channels, positions = torch.tensor(pairs, device=device).T.contiguous()
                found.append(Site(layer, module.get_submodule(layer), dim, channels, positions))
        return found

    layers = followed.layers
    written = sites({name: layer.writes for name, layer in layers.items()}, 0)
    norms = tuple(site for site in written if layers[site.name].is_norm and site.layer.weight is not None)
    writers = tuple(site for site in written if not layers[site.name].is_norm)
    return ChannelGroup(name, len(ids), writers, norms, tuple(sites(followed.reads, 1)))

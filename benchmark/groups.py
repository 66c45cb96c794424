"""Channel groups: the hidden channels that live and die together, with the weights that make and use them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.trace import NORMS, Trace, trace


@dataclass(frozen=True)
class Site:
    """Where a group's channels sit along axis `dim` of one layer's weight: channel `channels[i]` at `positions[i]`."""

    name: str
    layer: nn.Module
    dim: int
    channels: Tensor
    positions: Tensor

    def weights(self) -> Tensor:
        """The layer's weight as positions × everything else, a view where the layout allows."""
        return self.layer.weight.movedim(self.dim, 0).flatten(1)


@dataclass(frozen=True)
class ChannelGroup:
    """Hidden channels of one width: one layer's outputs, or a residual stream's."""

    name: str
    size: int
    writers: tuple[Site, ...]  # layers that produce the channels: their incoming weights
    norms: tuple[Site, ...]  # batch norms on them
    readers: tuple[Site, ...]  # layers that consume them: their outgoing weights

    @property
    def fan_in(self) -> int:
        """Incoming weights per channel, |g| in the group lasso."""
        return sum(site.weights().shape[1] for site in self.writers)

    @torch.no_grad()
    def incoming_norms(self, p: float = 2) -> Tensor:
        """‖w_k‖_p of every channel's incoming weights, without biases; shape (size,)."""
        return self._norms(self.writers, p)

    @torch.no_grad()
    def outgoing_norms(self, p: float = 2) -> Tensor:
        """‖·‖_p of every channel's outgoing weights; shape (size,)."""
        return self._norms(self.readers, p)

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
    def zero_incoming(self, doomed: Tensor) -> None:
        """Sets the incoming weights of the doomed channels (bool, shape (size,)) to zero, leaving what they emit."""
        for site in self.writers:
            site.layer.weight[site.positions[doomed[site.channels]]] = 0

    @torch.no_grad()
    def silence(self, doomed: Tensor) -> None:
        """Sets all that makes the doomed channels to zero: incoming weights, biases, γ and β, so that they emit f(0)."""
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

    @property
    def weights(self) -> list[nn.Parameter]:
        """The weights of all linear and convolutional layers, the output layer's too; no biases, no norms."""
        return [p for n, p in self.module.named_parameters() if n.endswith("weight") and p.dim() > 1]

    @torch.no_grad()
    def incoming_norms(self) -> Tensor:
        """‖w_k‖₂ of every channel of every group, in order."""
        return torch.cat([group.incoming_norms() for group in self.groups])


def find_groups(module: nn.Module, example: Tensor) -> Net:
    """The network's channel groups, found by tracing it on a batch; raises UntraceableError where that fails."""
    return net_from_trace(module, trace(module, example))


def net_from_trace(module: nn.Module, followed: Trace) -> Net:
    """The network with its hidden channel groups; groups with a pinned channel are kept whole."""
    net = Net(module, [])
    for name, ids in hidden_groups(followed).items():
        net.hidden_channels += len(ids)
        reason = next((followed.pinned[i] for i in ids.tolist() if i in followed.pinned), None)
        if reason:
            net.kept_whole[name] = reason
        else:
            net.groups.append(_group(module, followed, name, ids))
    return net


def hidden_groups(followed: Trace) -> dict[str, np.ndarray]:
    """The labels of every hidden group's channels, by the name of its first writer."""
    groups: dict[str, np.ndarray] = {}
    for name, ids in followed.writes.items():
        if _is_channelwise(followed, name) or followed.outputs.intersection(ids.tolist()):
            continue
        overlapping = [other for other, members in groups.items() if np.isin(ids, members).any()]
        first = overlapping[0] if overlapping else name
        merged = [groups.pop(other) for other in overlapping] + [ids]
        joined = np.concatenate(merged)
        groups[first] = joined[np.sort(np.unique(joined, return_index=True)[1])]
    return groups


def _is_channelwise(followed: Trace, name: str) -> bool:
    return name not in followed.reads


def _group(module: nn.Module, followed: Trace, name: str, ids: np.ndarray) -> ChannelGroup:
    device = next(module.parameters()).device
    place = {label: index for index, label in enumerate(ids.tolist())}

    def sites(arrays: dict[str, np.ndarray], dim: int) -> list[Site]:
        found = []
        for layer, labels in arrays.items():
            pairs = [(place[label], i) for i, label in enumerate(labels.tolist()) if label in place]
            if pairs:
                channels, positions = torch.tensor(pairs, device=device).T.contiguous()
                found.append(Site(layer, module.get_submodule(layer), dim, channels, positions))
        return found

    written = sites(followed.writes, 0)
    norms = tuple(site for site in written if isinstance(site.layer, NORMS))
    writers = tuple(site for site in written if not isinstance(site.layer, NORMS))
    return ChannelGroup(name, len(ids), writers, norms, tuple(sites(followed.reads, 1)))

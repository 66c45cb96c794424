"""Single features: what a network's first dense layer reads, pixels or flattened channels, removed one by one.

A feature is no channel: nothing makes it alone. It goes where all weights that read it are zero, exactly: the network
then passes on the others. It is counted by itself, never among the channels.
"""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn

from benchmark.removal.exact import TOLERANCE
from benchmark.removal.groups import ChannelGroup, Site
from benchmark.removal.proof import RemovalError

INPUTS = "inputs"  # the name of a group of features that are the network's own inputs


class Features(nn.Flatten):
    """Flattens, and passes on the features at `places` alone; all of them where that is None."""

    places: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", None)

    def forward(self, x: Tensor) -> Tensor:
        flat = super().forward(x)
        return flat if self.places is None else flat.index_select(1, self.places)


def make_single(network: nn.Module) -> None:
    """Lets single features be removed from a network with a flattening in front of a dense layer, in place."""
    name, _, _ = _reader(network)
    network.set_submodule(name, Features())


def feature_groups(network: nn.Module) -> list[ChannelGroup]:
    """The features that `network`'s dense layer reads, as a group without writers: methods see their weights."""
    before, name, layer = _reader(network)
    places = torch.arange(layer.in_features, device=layer.weight.device)
    first = not any(True for module in network[: int(before)].parameters())
    return [ChannelGroup(INPUTS if first else before, len(places), (), (), (Site(name, layer, 1, places, places),))]


@torch.no_grad()
def drop_unread(network: nn.Module, example: Tensor) -> int:
    """Removes every feature whose weights are all zero, in place; at least one stays. Returns how many are left.

    Raises RemovalError where the network's outputs on the batch `example`, in float64, are not what they were.
    """
    expected = copy.deepcopy(network).double().eval()(example.double())
    name, _, layer = _reader(network)
    read = (layer.weight != 0).any(0)
    read[0] |= not read.any()
    flatten, kept = network.get_submodule(name), read.nonzero().flatten()
    flatten.places = kept if flatten.places is None else flatten.places[kept]
    layer.weight = nn.Parameter(layer.weight[:, kept], layer.weight.requires_grad)
    layer.in_features = len(kept)
    change = (copy.deepcopy(network).double().eval()(example.double()) - expected).abs().max().item()
    if not change <= TOLERANCE * (expected.abs().max().item() or 1.0):
        raise RemovalError(f"the network without its unread features deviates by {change:.3g}, over {TOLERANCE:g}")
    return len(kept)


def _reader(network: nn.Module) -> tuple[str, str, nn.Linear]:
    """The flattening's name, and the dense layer's behind it with the layer itself. Raises ValueError without them."""
    layers = list(network.named_children()) if isinstance(network, nn.Sequential) else []
    for (before, flatten), (name, layer) in itertools.pairwise(layers):
        if isinstance(flatten, nn.Flatten) and isinstance(layer, nn.Linear):
            return before, name, layer
    raise ValueError(f"{type(network).__name__} has no dense layer behind a flattening")

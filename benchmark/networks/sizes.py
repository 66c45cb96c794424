"""The layers' sizes of a reduced network, and a dense network given them: what turns weights back into a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from benchmark.networks.build import build

SIZES = ("in_features", "out_features", "in_channels", "out_channels", "groups", "num_features")
Layers = dict[str, dict[str, int]]  # by name of a layer its sizes


def layer_sizes(module: nn.Module) -> Layers:
    """The sizes of every layer that has some."""
    layers = {
        name: {key: getattr(layer, key) for key in SIZES if isinstance(getattr(layer, key, None), int)}
        for name, layer in module.named_modules()
    }
    return {name: sizes for name, sizes in layers.items() if sizes}


def resize(network: nn.Module, layers: Layers, state: dict[str, Tensor]) -> None:
    """Makes a dense network the reduced one, in place. Raises AttributeError or RuntimeError where it does not fit."""
    for name, sizes in layers.items():
        for key, size in sizes.items():
            setattr(network.get_submodule(name), key, size)
    for name, tensor in state.items():
        owner, _, key = name.rpartition(".")
        layer = network.get_submodule(owner)
        setattr(layer, key, tensor if key in layer._buffers else nn.Parameter(tensor))
    network.load_state_dict(state)


def build_again(arguments: dict[str, Any]) -> nn.Module:
    """The dense network that `build.build` gives for arguments that JSON has held."""
    lists = {key: tuple(value) for key, value in arguments.items() if isinstance(value, list)}
    return build(**{**arguments, **lists})

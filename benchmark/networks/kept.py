"""A reduced network in one file of safetensors: weights, layers' sizes, its record's numbers, and a hash of them all.

Nothing in such a file is ever run. `safetensors.safe_open(FILE, "pt").metadata()["deadweight"]` is the JSON of all but
the weights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from benchmark.networks.sizes import Layers, layer_sizes

SUFFIX = ".safetensors"
ENTRY = "deadweight"  # of the file's own header


class UnfitError(ValueError):
    """A file holds no network that was kept, or another than it says."""


@dataclass(frozen=True)
class About:
    """What a file says of its network: the arguments of `build.build` that give the dense one, None for one of the
    user's own; the layers' sizes; what its record says.
    """

    network: dict[str, Any] | None
    layers: Layers
    record: dict[str, Any]


def pack(module: nn.Module, network: dict[str, Any] | None, record: dict[str, Any]) -> bytes:
    """The content of a file that holds a reduced network; `network` and `record` as in `About`."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    about = json.loads(json.dumps(asdict(About(network, layer_sizes(module), record))))
    entry = json.dumps({**about, "sha256": _digest(about, state)}, sort_keys=True)
    return safetensors.torch.save(state, metadata={ENTRY: entry})


def read(path: Path) -> tuple[About, dict[str, Tensor]]:
    """What a file says, and its network's state. Raises UnfitError where it was changed, or is none of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            entry = json.loads((file.metadata() or {})[ENTRY])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        sha256 = entry.pop("sha256")
        about = About(**entry)
    except Exception as error:  # whatever a file may hold
        raise UnfitError(f"it cannot be read ({type(error).__name__})") from None
    if sha256 != _digest(entry, state):
        raise UnfitError("it was changed")
    return about, state


def _digest(about: dict[str, Any], state: dict[str, Tensor]) -> str:
    shapes = [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in sorted(state.items())]
    digest = hashlib.sha256(json.dumps([about, shapes], sort_keys=True).encode())
    for _, tensor in sorted(state.items()):
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

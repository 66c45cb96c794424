"""Weights of the user's own, from a state dict in a file into a network."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import UsageError, first_line, some

WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name
INSIDE = ("state_dict", "model")  # where training scripts put a state dict among other things


def load_file(network: nn.Module, checkpoint: Path) -> None:
    """Gives a network the weights of a file. Raises UsageError where there is none, or they do not fit."""
    try:
        if checkpoint.exists() and not (checkpoint.is_file() or checkpoint.is_dir()):
            raise UsageError(f"checkpoint {checkpoint} is no file")  # reading a pipe would wait for ever
        content = checkpoint.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"checkpoint {checkpoint} does not exist") from None
    except IsADirectoryError:
        content = b""
    except OSError as error:
        raise UsageError(f"checkpoint {checkpoint} cannot be read: {error.strerror}") from None
    load_weights(network, content, str(checkpoint))


def load_weights(network: nn.Module, content: bytes, name: str) -> None:
    """Gives a network the weights that the content of a file is. Raises UsageError where they do not fit."""
    state = _state(content, name)
    for key in INSIDE:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise UsageError(f"checkpoint {name} holds a {type(state).__name__}, not a state dict")
    _check_fit(network, name, state)
    network.load_state_dict(state)


def _state(content: bytes, name: str) -> Any:
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except EOFError:
        raise UsageError(f"checkpoint {name} is empty, or a folder") from None
    except pickle.UnpicklingError:
        raise UsageError(
            f"checkpoint {name} is no file of plain weights; of a whole network, "
            "torch.save(network.state_dict(), FILE) makes one"
        ) from None
    except Exception as error:
        raise UsageError(f"checkpoint {name} is no file of plain weights: {first_line(error)}") from None


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_complex()


def _check_fit(network: nn.Module, name: str, state: dict[str, Tensor]) -> None:
    own = network.state_dict()
    wrapper = next((prefix for prefix in WRAPPERS if own and state.keys() == {prefix + key for key in own}), None)
    if wrapper is not None:
        raise UsageError(
            f"checkpoint {name} was saved of a wrapped network: every name begins with {wrapper!r}; save the "
            "state dict of the network inside"
        )
    faults = [f"{key} is missing" for key in own if key not in state]
    faults += [f"{key} is no dense tensor of real numbers" for key in own if key in state and not _is_plain(state[key])]
    faults += [f"{key} is not in the network" for key in state if key not in own]
    faults += [
        f"{key} has shape {tuple(state[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in state and _is_plain(state[key]) and state[key].shape != tensor.shape
    ]
    if not faults:
        faults = [f"{key} is not finite" for key, tensor in state.items() if not torch.isfinite(tensor).all()]
    if faults:
        raise UsageError(f"checkpoint {name} does not fit {type(network).__name__}: {some(faults)}")

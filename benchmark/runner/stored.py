"""Tensors in a file with what is said of them, under a hash; numbers only, so reading one runs no code."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

ABOUT = "about"  # the entry that holds no tensor; names of tensors have a prefix
PREFIX = "state/"


class UnfitError(ValueError):
    """What is stored is not what is asked for."""


def pack(key: str, about: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """A file's content: tensors on the CPU, and what JSON can hold about them, under a hash of all with their key."""
    arrays: dict[str, Any] = {PREFIX + name: tensor.numpy() for name, tensor in tensors.items()}
    arrays[ABOUT] = np.array(json.dumps({**about, "hash": _digest(key, about, tensors)}))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpack(content: bytes, key: str, made_of: dict[str, str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `pack` was given. Raises UnfitError where that was not of these things, or is not what it was."""
    try:
        about, tensors = _read(content)
        digest = about.pop("hash")
        other = next((name for name, value in made_of.items() if about[name] != value), None)
        changed = digest != _digest(key, about, tensors)
    except Exception as error:  # whatever a file may hold
        raise UnfitError(f"it cannot be read ({type(error).__name__})") from None
    if other is not None:
        raise UnfitError(f"it was made of other {other}")
    if changed:
        raise UnfitError("it was changed")
    return about, tensors


def _read(content: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        tensors = {name.removeprefix(PREFIX): torch.from_numpy(stored[name]) for name in stored.files if name != ABOUT}
        return json.loads(str(stored[ABOUT])), tensors


def _digest(key: str, about: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """A hash of tensors, of what is said about them and of the key under which they are stored."""
    head = json.dumps([key, about, [(name, str(x.dtype), x.shape) for name, x in tensors.items()]])
    return hashlib.sha256(f"{head}{hash_of(tensors.values())}".encode()).hexdigest()


def hash_of(tensors: Iterable[Tensor]) -> str:
    """A hash of tensors' numbers."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

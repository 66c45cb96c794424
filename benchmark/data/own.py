"""Datasets of the user's own: arrays in a file, or what a function of theirs returns.

Both hold `x_train`, `y_train`, and where there is a test set of its own `x_test`, `y_test`. Samples are vectors
(N × F), signals (N × C × L) or images (N × C × H × W). Pixels of uint8 are treated as those of every dataset, floats
are what the network is given, so that a network which was trained elsewhere meets what it was trained on.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmark import own_files
from benchmark.data.cache import Raw, Source
from benchmark.data.names import ARRAYS, own_name
from benchmark.errors import UsageError, first_line
from benchmark.own_code import explained, load_function

NEEDED, MORE = ("x_train", "y_train"), ("x_test", "y_test")
KINDS = {2: "vectors", 3: "signals", 4: "images"}  # by the axes of an array
LARGEST = 64.0  # of an image's floats: 0 to 255 is a mistake, standardised ones stay far below
UNREADABLE = (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def source(name: str) -> Source:
    """Where an own dataset's samples come from.

    A function is called once in a process, and in a worker only where the driver's cache is not there: what it returns
    has no other sign of change than its content. Raises UsageError.
    """
    if name.startswith(ARRAYS):
        path = own_files.get(own_name(name)).path
        try:
            files = [(str(path), path.stat())]
        except OSError as error:
            raise UsageError(f"{name}: cannot read {path}: {error.strerror}") from None
        return Source(name, files, partial(_read_file, name))
    content = own_files.get(name).content
    if content is not None:
        return Source(name, (), partial(_call, name), content)
    raw = _call(name)
    return Source(name, (), lambda: raw, raw.content)


def _read_file(name: str) -> Raw:
    path = own_files.get(own_name(name)).path
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise UsageError(f"{path} holds one array; np.savez(FILE, x_train=…, y_train=…) writes several")
            arrays = {key: stored[key] for key in stored.files}
    except UNREADABLE as error:
        kind = "it holds objects, not numbers" if "allow_pickle" in str(error) else first_line(error)
        raise UsageError(f"{path} is no file of arrays: {kind}") from None
    return raw(name, arrays)


def _call(name: str) -> Raw:
    function = load_function(name)
    try:
        found = function()
    except (Exception, SystemExit) as error:
        raise UsageError(f"{name} fails: {explained(error, own_files.get(name).path)}") from None
    if not isinstance(found, Mapping):
        raise UsageError(f"{name} returns a {type(found).__name__}, not a dict with {' and '.join(NEEDED)}")
    try:
        arrays = {str(key): np.asarray(value) for key, value in found.items()}
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"{name} returns what is no array: {first_line(error)}") from None
    made = raw(name, arrays)
    own_files.agree(name, str(made.content))
    return made


def raw(name: str, arrays: Mapping[str, Any]) -> Raw:
    """The samples that a table of arrays holds, checked. Raises UsageError."""
    names = set(arrays)
    if not names >= set(NEEDED) or names - {*NEEDED, *MORE} or len(names & set(MORE)) == 1:
        have = ", ".join(sorted(names)) or "nothing"
        raise UsageError(f"{name} has {have}; it needs x_train and y_train, and may have x_test and y_test")
    has_test = MORE[0] in names
    parts = [NEEDED, MORE] if has_test else [NEEDED]
    for x, y in parts:
        _check_samples(name, x, arrays[x])
        _check_labels(name, y, arrays[y], len(arrays[x]), x)
    samples = [_plain(name, x, arrays[x]) for x, _ in parts]
    if len({(part.shape[1:], part.dtype) for part in samples}) > 1:
        raise UsageError(f"{name}: x_test has another shape or type than x_train")
    labels = [arrays[y].astype(np.int64) for _, y in parts]
    classes = int(labels[0].max()) + 1
    if len(np.unique(labels[0])) < 2:
        raise UsageError(f"{name} has one class only: every label of y_train is {labels[0][0]}")
    if labels[-1].max() >= classes:
        raise UsageError(f"{name}: y_test has the label {labels[-1].max()}, and y_train none above {classes - 1}")
    x, y = np.concatenate(samples), np.concatenate(labels)
    own_test = len(labels[0]) if has_test else None
    digest = hashlib.sha256(f"{x.dtype} {x.shape} {own_test}".encode() + y.tobytes())
    digest.update(x.tobytes())
    return Raw(x, y, classes, own_test, digest.hexdigest()[:16])


def _check_samples(name: str, key: str, x: np.ndarray) -> None:
    """Raises UsageError where an array is none of samples."""
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise UsageError(f"{name}: {key} is of {x.dtype}; give uint8 for pixels, else float32")
    if x.ndim not in KINDS:
        raise UsageError(
            f"{name}: {key} has the shape {x.shape}; vectors are N × F, signals N × C × L, images N × C × H × W"
        )
    if x.size == 0:
        raise UsageError(f"{name}: {key} is empty, its shape is {x.shape}")
    if x.ndim == 4 and x.shape[3] in (1, 3) and min(x.shape[1:3]) > 4:
        raise UsageError(
            f"{name}: {key} has the shape {x.shape}, channels last: x.transpose(0, 3, 1, 2) puts them first"
        )


def _plain(name: str, key: str, x: np.ndarray) -> np.ndarray:
    """Samples as uint8 or float32. Raises UsageError where a number is none, or cannot be one of an image."""
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    with np.errstate(over="ignore"):
        plain = np.ascontiguousarray(x, dtype=np.float32)
    bad = ~np.isfinite(plain.reshape(len(plain), -1)).all(axis=1)
    if bad.any():
        raise UsageError(f"{name}: {key} has numbers that are not finite, first in sample {int(bad.argmax())}")
    largest = float(np.abs(plain).max())
    if x.ndim == 4 and largest > LARGEST:
        raise UsageError(
            f"{name}: {key} has images of floats up to {largest:g}; they are given to the network as they are, so "
            "divide them by 255, or keep pixels as uint8"
        )
    return plain


def _check_labels(name: str, key: str, y: np.ndarray, count: int, samples: str) -> None:
    """Raises UsageError where labels are no whole numbers from 0 on, one for each sample."""
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise UsageError(f"{name}: {key} is of {y.dtype}, shape {y.shape}; labels are whole numbers, one a sample")
    if len(y) != count:
        raise UsageError(f"{name}: {samples} has {count} samples, {key} {len(y)} labels")
    if y.min() < 0:
        raise UsageError(f"{name}: {key} has the label {y.min()}; classes are numbered from 0")
    if y.max() >= count:
        raise UsageError(f"{name}: {key} has the label {y.max()}, more classes than samples; number them from 0")

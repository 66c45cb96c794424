"""Decoded images in a file that all processes map: decoded once, shared, and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import filelock
import numpy as np

from benchmark.errors import UsageError

FORMAT = 2  # raised when the files here get another layout
CHUNK = 256  # images that are decoded before they are written


@dataclass(frozen=True)
class Raw:
    """What a source holds: samples of one shape and type, images (uint8, C × H × W) mostly, and labels (int64, N).

    Labels lie below `classes`. From index `own_test` on they are the source's own test set; None where it has none.
    `content` is a hash of all of it, where the source has one of its own.
    """

    images: Sequence[np.ndarray] | np.ndarray
    labels: np.ndarray
    classes: int
    own_test: int | None
    content: str | None = None


@dataclass(frozen=True)
class Source:
    """Files, each with its name in the source, and how to decode them; `read` raises UsageError for what it cannot.

    `content` tells apart the states of a source that no file does.
    """

    name: str
    files: Sequence[tuple[str, os.stat_result]]
    read: Callable[[], Raw]
    content: str | None = None


@dataclass(frozen=True)
class Decoded:
    """A source's samples: images (uint8, N × C × H × W, mapped from the cache's file), labels (int64, N).

    `moments` (int64, N × 2 × C) holds every image's sums of pixels and of squared pixels, by channel, and nothing for
    samples that are no images of uint8; `content` is a hash of all images and labels.
    """

    images: np.ndarray
    labels: np.ndarray
    moments: np.ndarray
    classes: int
    own_test: int | None
    content: str


def decoded(source: Source, folder: Path) -> Decoded:
    """The source's samples, from its cache in `folder`; a missing or outdated cache is made first.

    One process makes it, the others wait. Raises UsageError for a bad source or a folder that cannot be written to.
    """
    target = folder / (source.content or _fingerprint(source))
    found = _open(target)
    if found is not None:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_name(folder.name + ".lock")):
            found = _open(target)
            if found is None:
                _clear(folder)  # older states of the source, and what interrupted builds left
                _build(source, target)
                found = _open(target)
    except OSError as error:
        raise UsageError(
            f"cannot write the cache of {source.name} to {folder}: {error.strerror}; choose another --data-root"
        ) from None
    if found is None:
        raise UsageError(f"the cache in {target} cannot be read back; choose another --data-root")
    return found


def _fingerprint(source: Source) -> str:
    """What changes when a file of the source comes, goes, or is written to."""
    digest = hashlib.sha256(str(FORMAT).encode())
    for name, stat in sorted(source.files):
        digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _open(target: Path) -> Decoded | None:
    """The samples in a folder of the cache; None where it is not there or damaged."""
    try:
        # Copy on write: torch wants writable memory, the file stays as it is, and pages are shared while only read.
        images = np.load(target / "images.npy", mmap_mode="c")
        with (target / "samples.npz").open("rb") as file, np.load(file) as samples:
            labels, moments = samples["labels"], samples["moments"]
            classes, own_test = samples["classes"].item(), samples["own_test"].item()
            content = samples["content"].item()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    if not len(images) == len(labels) == len(moments):
        return None
    return Decoded(images, labels, moments, classes, own_test if own_test >= 0 else None, content)


def _clear(folder: Path) -> None:
    for old in folder.iterdir():
        shutil.rmtree(old, ignore_errors=True)


def _build(source: Source, target: Path) -> None:
    """Decodes into a temporary folder beside the target, and renames it once all of it is on the disk."""
    raw = source.read()
    _check(source.name, raw)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as scratch:
        draft = Path(scratch) / target.name
        draft.mkdir()
        moments, content = _write_images(raw, draft / "images.npy")
        content.update(raw.labels.tobytes() + str(raw.own_test).encode())
        own_test = -1 if raw.own_test is None else raw.own_test
        with (draft / "samples.npz").open("xb") as file:
            digits = raw.content or content.hexdigest()[:16]
            np.savez(
                file, labels=raw.labels, moments=moments, classes=raw.classes, own_test=own_test, content=digits
            )  # fmt: skip
            _flush(file)
        draft.rename(target)


def _check(name: str, raw: Raw) -> None:
    if len(raw.labels) == 0:
        raise UsageError(f"{name} has no images")
    outside = raw.labels[(raw.labels < 0) | (raw.labels >= raw.classes)]
    if len(outside):
        raise UsageError(f"{name} has the label {outside[0]}, out of the range 0 to {raw.classes - 1}")


def _write_images(raw: Raw, path: Path) -> tuple[np.ndarray, hashlib._Hash]:
    """Writes the images as one array in numpy's format, a chunk at a time; returns the moments and the pixels' hash.

    Through the file, not a map of it: on a full disk a write raises an error, where a map would end the process.
    """
    count, moments, content = len(raw.images), [], hashlib.sha256()
    first = raw.images[0]
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (count, *first.shape)}
    with path.open("xb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, CHUNK):
            chunk = np.stack([raw.images[i] for i in range(start, min(start + CHUNK, count))])
            file.write(chunk.tobytes())
            content.update(chunk.tobytes())
            moments.append(_moments(chunk))
        _flush(file)
    return np.concatenate(moments), content


def _moments(chunk: np.ndarray) -> np.ndarray:
    if chunk.dtype != np.uint8 or chunk.ndim != 4:
        return np.empty((len(chunk), 2, 0), np.int64)
    wide = chunk.astype(np.uint32)
    return np.stack([values.sum(axis=(2, 3), dtype=np.int64) for values in (wide, wide**2)], axis=1)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())

"""Where datasets come from: torchvision's, image folders, and the user's own."""

from __future__ import annotations

import pickle
import shlex
import zlib
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmark import own_files
from benchmark.data import imagefolder, own
from benchmark.data.cache import Decoded, Raw, Source, decoded
from benchmark.data.names import FOLDER, TORCHVISION, is_own, own_name, slug
from benchmark.errors import UsageError
from benchmark.torchvision_import import import_torchvision

# What torchvision, and the readers it calls, raise for missing, cut or altered files and failed downloads.
BROKEN = (
    OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AssertionError, MemoryError,
    pickle.UnpicklingError, zlib.error, HTTPException,
)  # fmt: skip


def read(name: str, root: Path) -> Decoded:
    """A stored dataset's samples, decoded once into the cache under `root`.

    Raises UsageError, with the command that gets it, where the dataset is missing; and where it is bad.
    """
    if is_own(name):
        found = decoded(own.source(name), root / "cache" / slug(name))
        own_files.agree(own_name(name), found.content)
        return found
    if name.startswith(FOLDER):
        source = imagefolder.source(name, root / name.removeprefix(FOLDER))  # an absolute path stays itself
    else:
        source = _torchvision_source(name, root)
    return decoded(source, root / "cache" / slug(name))


def download(name: str, root: Path) -> None:
    """Gets a dataset through torchvision, which shows its progress, checks checksums, and takes what is whole already.

    An image folder has to be there. Raises UsageError.
    """
    if name.startswith(FOLDER):
        return
    try:
        _parts(name, root, download=True)
    except BROKEN as error:
        if _is_there(name, root) and not isinstance(error, OSError):
            return  # nothing to download; what is wrong with the files comes out, with its remedy, where they are read
        raise UsageError(f"{name} could not be downloaded to {root}: {_line(error)}") from None


def _torchvision_source(name: str, root: Path) -> Source:
    files = _files(name, root)
    command = f"`deadweight data {name} --data-root {shlex.quote(str(root))}`"
    if not _is_there(name, root):
        raise UsageError(f"dataset {name} is not in {root}; {command} downloads it")

    def read() -> Raw:
        try:
            parts = [_arrays(part) for part in _parts(name, root, download=False)]
            images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        except BROKEN as error:
            where = ", ".join(sorted({str(path.parent if path.parent != root else path) for path in files}))
            raise UsageError(f"{name} is corrupt ({_line(error)}): remove {where}, then {command}") from None
        for (pictures, marks), split in zip(parts, ("training", "test"), strict=True):
            if len(pictures) != len(marks):
                raise UsageError(f"{name} has {len(pictures)} {split} images but {len(marks)} labels")
        return Raw(images, labels, 100 if name == "cifar100" else 10, own_test=len(parts[0][0]))

    return Source(name, [(path.name, path.stat()) for path in files], read)


def _datasets() -> ModuleType:
    import_torchvision()
    from torchvision import datasets

    return datasets


def _is_there(name: str, root: Path) -> bool:
    return all(path.is_file() for path in _files(name, root))


def _files(name: str, root: Path) -> list[Path]:
    """The files that torchvision reads."""
    kind = getattr(_datasets(), TORCHVISION[name])
    if name == "svhn":
        return [root / kind.split_list[split][1] for split in ("train", "test")]
    if name.startswith("cifar"):
        listed = [*(file for file, _ in (*kind.train_list, *kind.test_list)), kind.meta["filename"]]
        return [root / kind.base_folder / file for file in listed]
    return [root / kind.__name__ / "raw" / Path(file).stem for file, _ in kind.resources]


def _parts(name: str, root: Path, download: bool) -> list[Any]:
    """torchvision's training and test set."""
    kind = getattr(_datasets(), TORCHVISION[name])
    choices = [{"split": "train"}, {"split": "test"}] if name == "svhn" else [{"train": True}, {"train": False}]
    return [kind(root, download=download, **choice) for choice in choices]


def _arrays(part: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images (uint8, N × C × H × W) and labels (int64, N) of one of torchvision's datasets."""
    images = np.asarray(part.data)
    labels = np.asarray(part.labels if hasattr(part, "labels") else part.targets, dtype=np.int64)
    if images.ndim == 3:
        return images[:, None], labels
    return (images.transpose(0, 3, 1, 2) if images.shape[1] != 3 else images), labels


def _line(error: Exception) -> str:
    """An error in one line, without torchvision's advice to its own callers."""
    lines = [line.strip() for line in str(error).split(" You can use download")[0].splitlines() if line.strip()]
    return "; ".join(lines) or type(error).__name__

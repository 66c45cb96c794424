"""Folders of images, one folder a class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.data.cache import Raw, Source
from benchmark.errors import UsageError, first_line
from benchmark.torchvision_import import import_torchvision

GRAY = {"1", "L"}
# What Pillow raises for files that are no images, are cut, altered or claim a size that would fill the memory.
UNREADABLE = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, OverflowError, MemoryError, Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)  # fmt: skip
COLOUR = {"P", "RGB", "RGBA", "LA", "PA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}  # 8 bits a channel: nothing is lost


class Images(Sequence):
    """Image files as arrays (uint8, C × H × W): one channel if all are gray, else three. Decodes one at each access.

    Raises UsageError where one is unreadable or their sizes differ.
    """

    def __init__(self, paths: list[Path]):
        self.paths = paths
        heads = [_head(path) for path in paths]
        for path, (_, size) in zip(paths, heads, strict=True):
            if size != heads[0][1]:
                width, height = heads[0][1]
                raise UsageError(
                    f"{path} has {size[0]} × {size[1]} pixels, {paths[0]} {width} × {height}: all must have one size"
                )
        self.mode = "L" if all(mode in GRAY for mode, _ in heads) else "RGB"

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        try:
            with Image.open(self.paths[index]) as image:
                pixels = np.asarray(image.convert(self.mode))
        except UNREADABLE as error:
            raise _unreadable(self.paths[index], error) from None
        return pixels[None] if self.mode == "L" else pixels.transpose(2, 0, 1)


def source(name: str, folder: Path) -> Source:
    """The images of a folder with a folder for each class, or with train/ and test/ that have those.

    Raises UsageError where it does not exist or cannot be listed.
    """
    if not folder.is_dir():
        raise UsageError(f"image folder {folder} does not exist")
    try:
        files = list(_walk(str(folder), ""))
    except OSError as error:
        raise UsageError(f"image folder {folder} cannot be read: {error.filename}: {error.strerror}") from None
    return Source(name, files, lambda: _read(name, folder))


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """All files below a folder; by scandir, for pathlib takes seconds for the 60,000 files of CIFAR-10."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.stat()


def _read(name: str, folder: Path) -> Raw:
    parts = [folder / part for part in ("train", "test")]
    present = [part for part in parts if part.is_dir()]
    if len(present) == 1:
        missing = next(part for part in parts if part not in present)
        raise UsageError(f"image folder {folder} has {present[0].name}/ but not {missing.name}/")
    listed = [_list(part) for part in present or [folder]]
    classes = listed[0][0]
    if len(classes) < 2:
        raise UsageError(f"image folder {present[0] if present else folder} has one class only: {classes[0]}")
    odd = sorted(set(classes) ^ set(listed[-1][0]))
    if odd:
        raise UsageError(f"image folder {folder}: the class {odd[0]!r} is in only one of train/ and test/")
    samples = [sample for _, part in listed for sample in part]
    images = Images([Path(path) for path, _ in samples])
    labels = np.array([label for _, label in samples], dtype=np.int64)
    return Raw(images, labels, len(classes), own_test=len(listed[0][1]) if present else None)


def _list(folder: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """The classes and the samples (path, label) that torchvision finds, in its order."""
    import_torchvision()
    from torchvision.datasets import ImageFolder

    try:
        found = ImageFolder(str(folder))
    except OSError as error:
        raise UsageError(f"image folder {folder}: {first_line(error)}") from None
    return found.classes, found.samples


def _head(path: Path) -> tuple[str, tuple[int, int]]:
    """An image's mode and size (width, height)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                mode, size = image.mode, image.size
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    if mode not in GRAY | COLOUR:
        raise UsageError(f"{path} has pixels of mode {mode}: convert it to 8 bits a channel")
    return mode, size


def _unreadable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"cannot read the image {path}: {first_line(error)}")

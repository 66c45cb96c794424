"""Small datasets in the formats of the real ones."""

import gzip
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.load import decode, load
from benchmark.errors import UsageError


def idx(array: np.ndarray) -> bytes:
    """An array of uint8 in MNIST's file format."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def make_mnist(root: Path, train: int = 60, test: int = 20, folder: str = "MNIST", seed: int = 0) -> Path:
    """MNIST's four files with random images, whose labels go round; returns their folder."""
    generator = np.random.default_rng(seed)
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name, count in {"train": train, "t10k": test}.items():
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    return raw


def compress(raw: Path) -> dict[str, Path]:
    """Replaces the files of a folder by gzipped ones; returns them by name."""
    made = {}
    for path in list(raw.iterdir()):
        made[path.name] = path.with_name(path.name + ".gz")
        made[path.name].write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return made


def make_images(folder: Path, classes=("cat", "dog"), count: int = 10, size=(9, 8), mode: str = "RGB") -> Path:
    """A folder of random PNG images of `size` (width, height) for every class; returns the whole folder."""
    generator = np.random.default_rng(len(folder.parts))
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(folder / name / f"{i:02}.png")
    return folder


def loaded(name, root, validation=0.2, test=0.2, seed=0, test_seed=None):
    """The dataset, past what this process has loaded before."""
    decode.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load.__wrapped__(name, validation, test, seed, root, test_seed)


def problem(name, root):
    """The one line that says why a dataset cannot be loaded; nothing of a cache may be left."""
    with pytest.raises(UsageError) as caught:
        loaded(name, root)
    assert "\n" not in str(caught.value)
    assert not [path for path in root.glob("cache/*/*") if path.is_dir()]
    return str(caught.value)

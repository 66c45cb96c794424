"""Datasets as tensors, with fixed splits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.data import stored
from benchmark.data.cache import Decoded
from benchmark.data.dataset import Dataset, Split
from benchmark.data.names import check_dataset, data_root
from benchmark.errors import UsageError


@cache
def load(
    name: str,
    validation_share: float,
    test_share: float,
    split_seed: int,
    root: Path | None = None,
    test_seed: int | None = None,
) -> Dataset:
    """A dataset by name, loaded once per process; classes keep their proportions in every split.

    Stored ones lie under `root`, by default `names.data_root()`. A dataset with a test set of its own keeps that,
    and its validation set is a share of the rest; else the test set is split off by `test_seed`, by default
    `split_seed`. Raises UsageError where it is missing, bad or cannot be split.
    """
    shares, seeds = (validation_share, test_share), (split_seed, split_seed if test_seed is None else test_seed)
    try:
        if check_dataset(name) in LOADERS:
            found = LOADERS[name](*shares, *seeds)
        else:
            found = _stored(name, root or data_root(), *shares, *seeds)
    except ValueError as error:
        raise UsageError(f"{name} cannot be split by class: {error}") from None
    for part in ("train", "validation", "test"):
        if not len(getattr(found, part).labels):
            raise UsageError(
                f"{name} has no {part} samples with validation_share {validation_share:g} and test_share {test_share:g}"
            )
    return found


@cache
def decode(name: str, root: Path) -> Decoded:
    """The samples of a dataset that lies in files, read once per process: all its splits share them."""
    return stored.read(name, root)


def _stored(
    name: str, root: Path, validation_share: float, test_share: float, split_seed: int, test_seed: int
) -> Dataset:
    """A dataset that lies in files, over the mapped file of its cache; pixels 0 to 255, floats as they are."""
    found = decode(name, root)
    indices = np.arange(len(found.labels))
    if found.own_test is None:
        rest, test = _divide(indices, found.labels, test_share, test_seed)
        validation_share /= 1 - test_share
    else:
        rest, test = indices[: found.own_test], indices[found.own_test :]
    train, validation = _divide(rest, found.labels, validation_share, split_seed)
    pool = torch.from_numpy(found.images)
    splits = (Split(pool, torch.from_numpy(found.labels[i]), torch.from_numpy(i)) for i in (train, validation, test))
    coloured = pool.dtype == torch.uint8 and pool.dim() == 4 and pool.shape[1] > 1
    normal = _normal(found.moments[train], pool[0, 0].numel()) if coloured else (None, None)
    scale = 255.0 if pool.dtype == torch.uint8 else 1.0
    return Dataset(name, found.classes, scale, *splits, *normal, content=found.content)


def _divide(indices: np.ndarray, labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random rest and share of the samples, by class, each in increasing order."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(indices, test_size=share, random_state=seed, stratify=labels[indices])
    return tuple(np.sort(part) for part in parts)


def _normal(moments: np.ndarray, pixels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by channel (C × 1 × 1) of images with these moments, pixels divided by 255."""
    first, second = moments.sum(axis=0) / (len(moments) * pixels)
    deviation = np.sqrt(np.maximum(second - first**2, 0))
    deviation[deviation == 0] = 255.0  # a constant channel has nothing to standardise
    return tuple(torch.tensor(x / 255, dtype=torch.float32).view(-1, 1, 1) for x in (first, deviation))


def _digits(validation_share: float, test_share: float, split_seed: int, test_seed: int) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8 × 8, pixels 0 to 16."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    indices = np.arange(len(labels))
    rest, test = train_test_split(indices, test_size=test_share, random_state=test_seed, stratify=labels)
    share = validation_share / (1 - test_share)
    train, validation = train_test_split(rest, test_size=share, random_state=split_seed, stratify=labels[rest])
    pixels = torch.from_numpy(images.astype(np.uint8)).view(-1, 1, 8, 8)
    targets = torch.from_numpy(labels.astype(np.int64))
    splits = (Split(pixels[i], targets[i]) for i in map(torch.from_numpy, (train, validation, test)))
    return Dataset("digits", 10, 16.0, *splits)


def _simulated(validation_share: float, test_share: float, split_seed: int, test_seed: int) -> Dataset:
    """Four Gaussian clouds around random 4 × 4 images, 100 samples each: a task that every method learns.

    `test_seed` draws the images; with another `split_seed` what is no test set is divided anew.
    """
    generator = torch.Generator().manual_seed(test_seed)
    centres = torch.rand(4, 16, generator=generator)
    labels = torch.arange(400) % 4
    noise = 0.15 * torch.randn(400, 16, generator=generator)
    images = ((centres[labels] + noise).clamp(0, 1) * 255).to(torch.uint8).view(-1, 1, 4, 4)
    bounds = [0, round(400 * (1 - validation_share - test_share)), round(400 * (1 - test_share)), 400]
    parts = [np.arange(a, b) for a, b in itertools.pairwise(bounds)]
    if split_seed != test_seed:
        share = validation_share / (1 - test_share)
        parts[:2] = _divide(np.arange(bounds[2]), labels.numpy(), share, split_seed)
    splits = (Split(images[i], labels[i]) for i in map(torch.from_numpy, parts))
    return Dataset("simulated", 4, 255.0, *splits)


LOADERS: dict[str, Callable[[float, float, int, int], Dataset]] = {"digits": _digits, "simulated": _simulated}

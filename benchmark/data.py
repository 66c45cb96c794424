"""Datasets as tensors in memory, with fixed splits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import unknown


@dataclass(frozen=True)
class Split:
    """Images (uint8, N × C × H × W) and labels (int64, N)."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Split:
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits; a network sees pixels divided by `scale`."""

    name: str
    classes: int
    scale: float
    train: Split
    validation: Split
    test: Split

    @property
    def shape(self) -> tuple[int, ...]:
        """C, H, W."""
        return tuple(self.train.images.shape[1:])

    def pixels(self, images: Tensor) -> Tensor:
        """Images as a network's input: float32, divided by `scale`."""
        return images.float().div_(self.scale)

    def to(self, device: torch.device) -> Dataset:
        """The same data on a device."""
        splits = (split.to(device) for split in (self.train, self.validation, self.test))
        return Dataset(self.name, self.classes, self.scale, *splits)

    def batch_count(self, size: int) -> int:
        """The number of batches that `batches` yields."""
        full, rest = divmod(len(self.train.labels), size)
        return full + (rest > 1 or full == 0)

    def batches(self, size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The training set as shuffled batches; the order depends on seed and epoch alone.

        A last batch of a single sample, which no batch norm can use, joins the one before.
        """
        entropy = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
        order = torch.randperm(len(self.train.labels), generator=torch.Generator().manual_seed(entropy))
        parts = list(order.to(self.train.labels.device).split(size))
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        for part in parts:
            yield self.pixels(self.train.images[part]), self.train.labels[part]


def check_name(name: str) -> str:
    """The name of a dataset, itself. Raises UsageError for an unknown one."""
    if name not in LOADERS:
        raise unknown("dataset", name, LOADERS)
    return name


@cache
def load(name: str, validation_share: float, test_share: float, split_seed: int) -> Dataset:
    """A dataset by name, loaded once per process; classes keep their proportions in every split."""
    return LOADERS[check_name(name)](validation_share, test_share, split_seed)


def _digits(validation_share: float, test_share: float, split_seed: int) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8 × 8, pixels 0 to 16."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    indices = np.arange(len(labels))
    rest, test = train_test_split(indices, test_size=test_share, random_state=split_seed, stratify=labels)
    share = validation_share / (1 - test_share)
    train, validation = train_test_split(rest, test_size=share, random_state=split_seed, stratify=labels[rest])
    pixels = torch.from_numpy(images.astype(np.uint8)).view(-1, 1, 8, 8)
    targets = torch.from_numpy(labels.astype(np.int64))
    splits = (Split(pixels[i], targets[i]) for i in map(torch.from_numpy, (train, validation, test)))
    return Dataset("digits", 10, 16.0, *splits)


def _simulated(validation_share: float, test_share: float, split_seed: int) -> Dataset:
    """Four Gaussian clouds around random 4 × 4 images, 100 samples each: a task that every method learns."""
    generator = torch.Generator().manual_seed(split_seed)
    centres = torch.rand(4, 16, generator=generator)
    labels = torch.arange(400) % 4
    noise = 0.15 * torch.randn(400, 16, generator=generator)
    images = ((centres[labels] + noise).clamp(0, 1) * 255).to(torch.uint8).view(-1, 1, 4, 4)
    bounds = [0, round(400 * (1 - validation_share - test_share)), round(400 * (1 - test_share)), 400]
    splits = (Split(images[a:b], labels[a:b]) for a, b in itertools.pairwise(bounds))
    return Dataset("simulated", 4, 255.0, *splits)


LOADERS: dict[str, Callable[[float, float, int], Dataset]] = {"digits": _digits, "simulated": _simulated}

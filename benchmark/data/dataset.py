"""Images and labels in memory, split and in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from benchmark.data.augment import augment


@dataclass(frozen=True)
class Split:
    """N samples: labels (int64, N), and images that lie in a pool (uint8, M × C × H × W), which splits may share.

    A dataset of the user's own may have vectors (M × F) or signals (M × C × L) in their place, and float32.

    `rows` (int64, N) says where in the pool; None: there are no others in it, in the labels' order.
    """

    pool: Tensor
    labels: Tensor
    rows: Tensor | None = None

    @property
    def images(self) -> Tensor:
        """All images, N × C × H × W; a copy where the pool holds others too."""
        return self.pool if self.rows is None else self.pool.index_select(0, self.rows)

    def take(self, samples: Tensor) -> Tensor:
        """The images of some samples (int64 indices)."""
        rows = samples if self.rows is None else self.rows[samples]
        if self.pool.is_contiguous():
            return self.pool.index_select(0, rows)
        return self.pool.movedim(1, -1).index_select(0, rows).movedim(-1, 1)  # their channels stay last

    def part(self, most: int) -> Split:
        """At most so many of the samples, evenly spaced."""
        count = len(self.labels)
        places = torch.arange(min(most, count), device=self.labels.device) * count // min(most, count)
        return Split(self.take(places), self.labels[places])

    def channels_last(self) -> Split:
        """The same images, their channels last in memory, without the rest of the pool."""
        return Split(self.images.contiguous(memory_format=torch.channels_last), self.labels)

    def to(self, device: torch.device) -> Split:
        """The same samples on a device, without the rest of the pool."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits; a network sees pixels divided by `scale`, and in colour standardised by channel.

    `mean` and `deviation` (C × 1 × 1, or 1 × C × H × W) are the training pixels', divided by `scale`; None: not
    standardised.
    """

    name: str
    classes: int
    scale: float
    train: Split
    validation: Split
    test: Split
    mean: Tensor | None = None
    deviation: Tensor | None = None
    augmentation: str | None = None  # of the batches, by name
    content: str | None = None  # a hash of all that lies in files; None for what a library brings

    @property
    def shape(self) -> tuple[int, ...]:
        """C, H, W of images; of other samples theirs."""
        return tuple(self.train.pool.shape[1:])

    def pixels(self, images: Tensor) -> Tensor:
        """Images as a network's input: float32, a copy."""
        pixels = images.to(torch.float32, copy=True).div_(self.scale)
        return pixels if self.mean is None else pixels.sub_(self.mean).div_(self.deviation)

    def channels_last(self) -> Dataset:
        """The same data, the channels of images last in memory; what are no images stays as it is."""
        if len(self.shape) != 3:
            return self
        moments = {"mean": self.mean, "deviation": self.deviation}
        spread = {name: self._spread(moment) for name, moment in moments.items() if moment is not None}
        splits = {name: getattr(self, name).channels_last() for name in ("train", "validation", "test")}
        return replace(self, **splits, **spread)

    def _spread(self, moment: Tensor) -> Tensor:
        """One value a channel as one a pixel: that is what such images can be standardised with at full speed."""
        return moment.expand(1, *self.shape).contiguous(memory_format=torch.channels_last)

    def to(self, device: torch.device) -> Dataset:
        """The same data on a device."""
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        return Dataset(**{k: v.to(device) if isinstance(v, Split | Tensor) else v for k, v in moved.items()})

    def sample(self, most: int) -> Split:
        """At most so many training samples, evenly spaced; in an order without meaning.

        Files often hold one class after another, and who is given these may go by the first of them, or in batches.
        """
        part = self.train.part(most)
        if self.content is None:  # what a library brings is mixed already
            return part
        order = torch.randperm(len(part.labels), generator=_generator(0)).to(part.labels.device)
        return Split(part.pool[order], part.labels[order])

    def inputs(self, split: Split, size: int) -> Iterator[Tensor]:
        """A split's images as a network's input, in order and in batches, without a copy of all."""
        for places in torch.arange(len(split.labels), device=split.labels.device).split(size):
            yield self.pixels(split.take(places))

    def batch_count(self, size: int) -> int:
        """The number of batches that `batches` yields."""
        full, rest = divmod(len(self.train.labels), size)
        return full + (rest > 1 or full == 0)

    def batches(self, size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The training set as shuffled batches; order and augmentation depend on seed and epoch alone.

        A last batch of a single sample, which no batch norm can use, joins the one before.
        """
        order = torch.randperm(len(self.train.labels), generator=_generator(seed, epoch))
        generator = _generator(seed, epoch, 1)
        parts = list(order.to(self.train.labels.device).split(size))
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        for part in parts:
            images = self.train.take(part)
            if self.augmentation is not None:
                images = augment(images, self.augmentation, generator)
            yield self.pixels(images), self.train.labels[part]


def _generator(*entropy: int) -> torch.Generator:
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))

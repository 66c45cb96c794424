"""Inputs on which a wrong reduction may show: other batches, values and sizes than the example's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

ELEMENTS = 8192  # of an input that a batch of the search holds, within the limits of the next line
FEWEST, MOST = 2, 16  # samples in a batch
CHANGES: tuple[Callable[[int], int], ...] = (
    lambda s: s - 1,
    lambda s: s + 1,
    lambda s: s - 3,
    lambda s: s + 5,
    lambda s: s // 2,
    lambda s: 2 * s,
)

Inputs = tuple[Tensor, ...]


class Probes:
    """Makes inputs like an example's (each N × …), from a generator of its own."""

    def __init__(self, example: Inputs):
        self.generator = torch.Generator().manual_seed(0)
        elements = max(1, sum(x[0].numel() for x in example))
        self.samples = max(FEWEST, min(MOST, ELEMENTS // elements))
        self.example = tuple(x.detach() for x in example)
        self.few = tuple(x[: self.samples] for x in self.example)

    def batches(self) -> Iterator[tuple[str, Inputs]]:
        if len(self.few[0]) < len(self.example[0]):
            yield "batch", self.few
        yield "example", self.example
        for i in range(min(2, len(self.few[0]))):
            yield "single", tuple(x[i : i + 1] for x in self.few)

    def values(self) -> Iterator[tuple[str, Inputs]]:
        yield "scaled", self.changed(lambda x: x * column(x, torch.tensor([0.1, 10]).repeat(len(x))))
        yield "noise", self.changed(self.noise)
        yield "constant", self.changed(lambda x: column(x, torch.arange(len(x))).expand_as(x))
        yield "one-hot", self.changed(self.one_hot)

    def sizes(self) -> Iterator[tuple[str, Inputs]]:
        """Noise of each other size near the example's, half as many samples of it, in turns ordinary and times ten."""
        shapes = [tuple(x.shape[1:]) for x in self.few]
        seen = {tuple(shapes)}
        for new in zip(*map(resized, shapes), strict=False):
            if new in seen or any(length < 1 for shape in new for length in shape):
                continue
            seen.add(new)
            name = ", ".join("×".join(map(str, shape)) for shape in new)
            few = max(1, min(self.samples, len(self.few[0])) // 2)
            larger = torch.tensor([1, 10] if len(seen) % 2 else [10, 1]).repeat(few)
            noise = [self.noise(x, (few, *shape)) for x, shape in zip(self.few, new, strict=True)]
            yield f"size {name}", tuple(x * column(x, larger) if x.is_floating_point() else x for x in noise)

    def changed(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """The first samples with every real input changed; token ids are drawn anew."""
        return tuple(change(x) if x.is_floating_point() else self.noise(x) for x in self.few)

    def noise(self, x: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        """Normal noise with the example's mean and spread, or ids between its smallest and largest."""
        shape = shape or tuple(x.shape)
        if x.is_floating_point():
            noise = torch.randn(shape, generator=self.generator, dtype=x.dtype).to(x.device)
            return x.mean() + spread(x) * noise
        low, high = int(x.min()), int(x.max())
        return torch.randint(low, high + 1, shape, generator=self.generator).to(x)

    def one_hot(self, x: Tensor) -> Tensor:
        lit = torch.zeros_like(x).flatten(1)
        places = torch.randint(lit.shape[1], (len(x), 1), generator=self.generator).to(x.device)
        return lit.scatter_(1, places, 10 * spread(x)).view_as(x)


def spread(x: Tensor) -> float:
    """The standard deviation of an input, 1 where it does not vary."""
    return x.double().std(correction=0).item() or 1.0


def resized(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Other sizes of a sample: all axes behind the channels change together, the first or the last alone."""
    behind = [(*shape[:1], *map(change, shape[1:])) for change in CHANGES]
    first = [(*map(change, shape[:1]), *shape[1:]) for change in CHANGES]
    return [*behind, *first, *((*shape[:-1], length + 1) for length in shape[-1:])]


def column(x: Tensor, values: Tensor) -> Tensor:
    """One value for each sample, in a shape that broadcasts over x."""
    return values[: len(x)].to(x).view(-1, *[1] * (x.dim() - 1))

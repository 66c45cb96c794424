"""Inputs on which a wrong reduction may show: other batches, values and sizes than the example's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import torch
from torch import Tensor

ELEMENTS = 8192  # of an input that a batch of the search holds, within the limits of the next line
FEWEST, MOST = 2, 16  # samples in a batch
Change = Callable[[int], int]
CHANGES: tuple[Change, ...] = (
    lambda s: s - 1,
    lambda s: s + 1,
    lambda s: s - 3,
    lambda s: s + 5,
    lambda s: s // 2,
    lambda s: 2 * s,
)
ALONE: tuple[Change, ...] = (lambda s: s + 1, lambda s: 2 * s)  # how one axis changes where the others do not
FAR = (4, 16, 64)  # times as large
COUNTS = (9, 33)  # samples in larger batches than usual

Inputs = tuple[Tensor, ...]
Shapes = tuple[tuple[int, ...], ...]  # of a sample of each input


class Probes:
    """Makes inputs like an example's (each N × …), from a generator of its own."""

    def __init__(self, example: Inputs):
        self.generator = torch.Generator().manual_seed(0)
        size = max(1, elements(tuple(x.shape[1:] for x in example)))
        self.samples = max(FEWEST, min(MOST, ELEMENTS // size))
        self.example = tuple(x.detach() for x in example)
        self.few = tuple(x[: self.samples] for x in self.example)

    def batches(self) -> Iterator[tuple[str, Inputs]]:
        if len(self.few[0]) < len(self.example[0]):
            yield "batch", self.few
        yield "example", self.example
        for i in range(min(2, len(self.few[0]))):
            yield "single", tuple(x[i : i + 1] for x in self.few)
        for count in COUNTS:
            if count * elements(tuple(x.shape[1:] for x in self.few)) <= 4 * ELEMENTS:
                larger = [len(x) == len(self.example[0]) for x in self.example]  # others hold no samples
                pairs = zip(self.example, larger, strict=True)
                yield f"batch of {count}", tuple(self.noise(x, (count, *x.shape[1:])) if y else x for x, y in pairs)

    def values(self) -> Iterator[tuple[str, Inputs]]:
        yield "scaled", self.changed(lambda x: x * column(x, torch.tensor([0.1, 10]).repeat(len(x))))
        yield "noise", self.changed(self.noise)
        yield "constant", self.changed(lambda x: column(x, torch.arange(len(x))).expand_as(x))
        yield "one-hot", self.changed(self.one_hot)

    def sizes(self) -> Iterator[tuple[str, Inputs]]:
        """Noise of other sizes, in turns ordinary and times ten.

        Of each size near the example's about as many samples as of its first, of the others one.
        """
        shapes = tuple(tuple(x.shape[1:]) for x in self.few)
        for turn, (new, near) in enumerate(other_shapes(shapes, ELEMENTS)):
            name = ", ".join("×".join(map(str, shape)) for shape in new)
            few = max(1, min(self.samples, len(self.few[0])) // 2) if near else 1
            larger = torch.tensor([1, 10] if turn % 2 else [10, 1]).repeat(few)
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


def other_shapes(shapes: Shapes, most: int) -> Iterator[tuple[Shapes, bool]]:
    """Other sizes of one sample of each input, each once, and whether they are among the nearest.

    Axes change together in all inputs: all behind the first, which holds channels, or all but the last, or the first.
    Then each axis of each input changes alone, for images may be wide and inputs of different lengths. Last come far
    sizes, of at most so many elements: what is one position at every near size may be more.
    """
    together: list[slice] = [slice(1, None), slice(0, 1), slice(0, -1)]
    every = range(len(shapes))
    alone = [((i,), slice(axis, axis + 1)) for i in every for axis in range(len(shapes[i]))]
    near = [_changed(shapes, every, axes, change) for axes in together for change in CHANGES]
    near.append(tuple((*shape[:-1], *(length + 1 for length in shape[-1:])) for shape in shapes))
    single = [_changed(shapes, *place, change) for place in alone for change in ALONE]
    far = [_changed(shapes, every, axes, _times(factor)) for factor in FAR for axes in together]
    far += [_changed(shapes, *place, _times(FAR[1])) for place in alone]
    seen = {shapes}
    for new in (*near, *single, *(new for new in far if elements(new) <= most)):
        if new not in seen and all(length > 0 for shape in new for length in shape):
            seen.add(new)
            yield new, new in near


def _changed(shapes: Shapes, places: Sequence[int], axes: slice, change: Change) -> Shapes:
    """The shapes with some axes changed in the inputs at some places."""
    new = [list(shape) for shape in shapes]
    for place in places:
        new[place][axes] = map(change, new[place][axes])
    return tuple(map(tuple, new))


def _times(factor: int) -> Change:
    return lambda length: factor * length


def elements(shapes: Shapes) -> int:
    """How many numbers a sample of such inputs holds."""
    return sum(map(prod, shapes))


def column(x: Tensor, values: Tensor) -> Tensor:
    """One value for each sample, in a shape that broadcasts over x."""
    return values[: len(x)].to(x).view(-1, *[1] * (x.dim() - 1))

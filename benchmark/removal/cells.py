"""Cell tensors: of the shape of a tensor that is followed, they hold the cell that each of its elements belongs to.

They are expanded along every axis on which the cells do not vary, so whatever moves elements about (views, slices,
concatenations, shuffles) moves cells by the same operation on the cell tensor, at no cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmark.removal.labels import Ids


def spread(cells: Ids, shape: Sequence[int], axis: int) -> Tensor:
    """Cells along one axis of a shape, the same everywhere else."""
    places = [1] * len(shape)
    places[axis] = -1
    return torch.from_numpy(cells).view(places).expand(tuple(shape))


def varies(cells: Tensor) -> list[bool]:
    """By axis, whether cells vary along it, or may."""
    return [size > 1 and stride != 0 for size, stride in zip(cells.shape, cells.stride(), strict=True)]


def core(cells: Tensor, axes: Sequence[bool] | None = None) -> Tensor:
    """The cells with one position left along the axes on which they do not vary."""
    kept = varies(cells) if axes is None else axes
    return cells[tuple(slice(None) if vary else slice(0, 1) for vary in kept)]


def compact(cells: Tensor) -> Tensor:
    """The same cells, expanded along every axis on which they turn out not to vary."""
    small = core(cells)
    for axis, vary in enumerate(varies(small)):
        if vary and (small == small.narrow(axis, 0, 1)).all():
            small = small.narrow(axis, 0, 1)
    return small.expand(cells.shape)


def along(cells: Tensor, axis: int) -> Ids | None:
    """The cells along an axis, None if they vary along another one too."""
    axis %= cells.dim()
    if any(vary for other, vary in enumerate(varies(cells)) if other != axis):
        return None
    return flat(cells.movedim(axis, 0).flatten(1)[:, :1] if cells.dim() > 1 else cells)


def flat(cells: Tensor) -> Ids:
    """All cells in order."""
    return np.ascontiguousarray(cells.reshape(-1).numpy())


def distinct(columns: list[Ids]) -> tuple[Ids, Ids]:
    """The places of the first of each distinct row of several columns, and by row which of them it equals."""
    key = columns[0]
    for column in columns[1:]:
        _, left = np.unique(key, return_inverse=True)
        key = left.reshape(-1) * (int(column.max()) + 1) + column
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)

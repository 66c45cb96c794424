"""Random crops and flips of whole batches of images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmark.data.names import AUGMENTATIONS

PADDING = 8  # a crop moves an image by up to 1 / PADDING of its side: 4 of 32 pixels, as is usual for CIFAR


def augment(images: Tensor, name: str, generator: torch.Generator) -> Tensor:
    """Each image (N × C × H × W) shifted at random over black borders, mirrored at random, or both.

    The numbers are drawn by `generator`, on the CPU, so that they are the same for every device.
    """
    count, _, height, width = images.shape
    rows = torch.arange(height).expand(count, -1)
    columns = torch.arange(width).expand(count, -1)
    borders = height // PADDING, width // PADDING
    if "flip" in AUGMENTATIONS[name]:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    if "crop" in AUGMENTATIONS[name]:
        down, right = (torch.randint(2 * border + 1, (count, 1), generator=generator) for border in borders)
        rows, columns = rows + down, columns + right
        images = pad(images, (borders[1], borders[1], borders[0], borders[0]))
    return _gather(images, rows.to(images.device), columns.to(images.device))


def _gather(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Every image's own rows (N × H) and columns (N × W); channels that lie last in memory do so afterwards."""
    count, channels = images.shape[:2]
    if not images.is_contiguous():
        return _gather_pixels(images, rows, columns)
    shape = count, channels, rows.shape[1]
    picked = images.gather(2, rows[:, None, :, None].expand(*shape, images.shape[3]))
    return picked.gather(3, columns[:, None, None, :].expand(*shape, columns.shape[1]))


def _gather_pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same for images whose channels lie last in memory, a pixel at a time."""
    count, channels, height, width = images.shape
    starts = height * torch.arange(count, device=images.device).unsqueeze(1)
    places = (width * (starts + rows)).unsqueeze(2) + columns.unsqueeze(1)
    pixels = images.movedim(1, -1).reshape(-1, channels).index_select(0, places.flatten())
    return pixels.view(*places.shape, channels).movedim(-1, 1)

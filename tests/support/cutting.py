"""Modules that cut channels into parts by numbers that they keep, or weigh parts of a channel against each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Cutting(nn.Module):
    """Cuts an image's channels in one of many ways, keeping the number of channels."""

    def __init__(self, way: str, width: int):
        super().__init__()
        self.way, self.width, self.half, self.third = way, width, width // 2, width - width // 2 - 1
        self.parts = [self.half, self.third, 1]
        self.pair = (self.half, width - self.half)
        self.first = nn.Conv2d(self.half, self.half, 3, padding=1)
        self.single = nn.Conv2d(1, 1, 3, padding=1, groups=1)
        self.gate = nn.Conv2d(width, 2 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.way)(x)

    def halves(self, x: Tensor) -> Tensor:
        a, b = x.split(self.width // 2, 1)
        return torch.cat([b, self.first(a)], 1)

    def chunks(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        return torch.cat([b, self.first(a).relu()], 1)

    def listed(self, x: Tensor) -> Tensor:
        a, b, c = torch.split(x, self.parts, 1)
        return torch.cat([self.first(a), b, self.single(c)], 1)

    def paired(self, x: Tensor) -> Tensor:
        a, b = x.split(self.pair, 1)
        return torch.cat([b, self.first(a)], 1)

    def sliced(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x[:, : self.half]), x[:, self.half :]], 1)

    def narrowed(self, x: Tensor) -> Tensor:
        return torch.cat([x.narrow(1, self.half, self.width - self.half), x.narrow(1, 0, self.half)], 1)

    def in_place(self, x: Tensor) -> Tensor:
        x[:, : self.half].add_(1)
        return x

    def written(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, : self.half] = self.first(x[:, : self.half])
        return x

    def scaled(self, x: Tensor) -> Tensor:
        a, b = x.split(self.width // 2, 1)
        return torch.cat([b / self.width, a], 1)

    def as_tensor(self, x: Tensor) -> Tensor:
        a, b = x.split(self.width // 2, 1)
        return torch.cat([b / torch.tensor(self.width), a + torch.full((1,), self.width, dtype=x.dtype)], 1)

    def cropped(self, x: Tensor) -> Tensor:
        a, b = x.split(self.width // 2, 1)
        return torch.cat([b, a], 1)[..., : max(self.width, 6)]

    def literal(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 2:], x[:, :2]], 1)

    def selective(self, x: Tensor) -> Tensor:
        b, c = x.shape[:2]
        weights = self.gate(x.mean((2, 3), keepdim=True)).view(b, 2, c, 1, 1).softmax(1)
        return (torch.stack([x, x.relu()], 1) * weights).sum(1)

    def split_attention(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        parts = self.gate(x).relu().view(b, 2, -1, h, w)
        weights = self.gate(parts.sum(1).mean((2, 3), keepdim=True)).view(b, 2, -1, 1, 1).softmax(1)
        return (parts * weights).sum(1)

    def maxout(self, x: Tensor) -> Tensor:
        y = self.gate(x)
        largest, places = y.unflatten(1, (-1, 2)).max(2)
        return largest + places

    def mean_of_parts(self, x: Tensor) -> Tensor:
        return self.gate(x).unflatten(1, (2, -1)).mean(1)

    def softmax_of_positions(self, x: Tensor) -> Tensor:
        return x + x.flatten(2).softmax(-1).view_as(x)

    def softmax_of_samples(self, x: Tensor) -> Tensor:
        return x.softmax(0)

    def softmax_of_channels(self, x: Tensor) -> Tensor:
        return x.softmax(1)


EXACT = [
    "halves", "chunks", "listed", "paired", "sliced", "narrowed", "selective", "split_attention", "maxout",
    "mean_of_parts",
]  # fmt: skip
WHOLE = ["scaled", "as_tensor", "cropped", "literal", "softmax_of_channels", "in_place", "written"]
WAYS = [*EXACT, *WHOLE, "softmax_of_positions", "softmax_of_samples"]

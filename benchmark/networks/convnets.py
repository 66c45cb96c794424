"""Convolutional networks for 32 × 32 images.

VGG (arXiv 1409.1556), BasicNet (arXiv 1811.12495) and residual networks (arXiv 1512.03385, §4.2).
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.networks.blocks import ACTIVATIONS, block, conv, normed

VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg11(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """VGG-11 for small images; widths of all 8 convolutions, or of the first (default 64) with the others in ratio."""
    return _vgg(VGG11, shape, classes, widths, activation, norm)


def vgg16(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """VGG-16 for small images; widths of all 13 convolutions, or of the first (default 64) with the others in ratio."""
    return _vgg(VGG16, shape, classes, widths, activation, norm)


def basicnet(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """BasicNet (seven convolutions of these default widths, strides instead of pooling); widths as for vgg11.

    Which layers have stride 2, here the 2nd, 4th and 6th, and the global average at the end are ours.
    """
    usual = (64, 128, 128, 256, 256, 512, 512)
    layers: list[nn.Module] = []
    channels = shape[0]
    for index, width in enumerate(_widths("basicnet", widths, usual)):
        layers += block(conv(channels, width, 3, norm, stride=1 + index % 2, padding=1), activation, norm)
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def resnet20(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """ResNet-20 with projection shortcuts; widths of the 3 stages, or of the first (16) with 2 and 4 times it."""
    return _resnet(3, shape, classes, widths, activation, norm)


def resnet56(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """ResNet-56 with projection shortcuts; widths of the 3 stages, or of the first (16) with 2 and 4 times it."""
    return _resnet(9, shape, classes, widths, activation, norm)


def _vgg(
    stages: tuple[tuple[int, ...], ...],
    shape: tuple[int, ...],
    classes: int,
    widths: tuple[int, ...],
    activation: str,
    norm: str,
) -> nn.Module:
    """One linear layer behind the convolutions, as is usual at 32 × 32, where they leave one position."""
    if min(shape[1:]) < 2 ** len(stages):
        raise ValueError(f"vgg needs images of at least 32 × 32 pixels, not {shape[1]} × {shape[2]}")
    usual = tuple(width for stage in stages for width in stage)
    remaining = list(_widths("vgg", widths, usual))
    layers: list[nn.Module] = []
    channels = shape[0]
    for stage in stages:
        for _ in stage:
            width = remaining.pop(0)
            layers += block(conv(channels, width, 3, norm, padding=1), activation, norm)
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def _resnet(
    blocks: int, shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str
) -> nn.Module:
    widths = _widths("resnet", widths, (16, 32, 64))
    layers: list[nn.Module] = block(conv(shape[0], widths[0], 3, norm, padding=1), activation, norm)
    channels = widths[0]
    for stage, width in enumerate(widths):
        for index in range(blocks):
            layers.append(Residual(channels, width, 2 if stage and not index else 1, activation, norm))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Residual(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut, which is a 1 × 1 convolution where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int, activation: str, norm: str):
        super().__init__()
        inner = block(conv(channels, width, 3, norm, stride=stride, padding=1), activation, norm)
        self.residual = nn.Sequential(*inner, *normed(conv(width, width, 3, norm, padding=1), norm))
        self.shortcut = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(*normed(conv(channels, width, 1, norm, stride=stride), norm))
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.shortcut(x) + self.residual(x))


def _widths(network: str, widths: tuple[int, ...], usual: tuple[int, ...]) -> tuple[int, ...]:
    if len(widths) == 1:
        return tuple(max(1, round(width * widths[0] / usual[0])) for width in usual)
    if widths and len(widths) != len(usual):
        raise ValueError(f"{network} takes 1 width or {len(usual)}, not {len(widths)}")
    return widths or usual

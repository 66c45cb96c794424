"""The networks of the benchmark, by name, with activation and normalisation as options."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from benchmark.errors import unknown
from benchmark.networks.blocks import block, conv, linear
from benchmark.networks.convnets import basicnet, resnet20, resnet56, vgg11, vgg16
from benchmark.networks.features import make_single
from benchmark.networks.names import TIMM, TORCHVISION, check, check_features, timm
from benchmark.networks.own import build_own
from benchmark.torchvision_import import import_torchvision

ANY_SHAPE = ("mlp", "lenet300")  # what also takes vectors and signals
SMALL = 64  # pixels; below this side torchvision's networks get the stem that is usual for small images


def build(
    network: str,
    shape: tuple[int, ...],
    classes: int,
    *,
    seed: int,
    widths: tuple[int, ...] = (),
    activation: str = "relu",
    norm: str = "batch",
    sha256: str | None = None,
    features: bool = False,
) -> nn.Module:
    """A network by name for inputs of `shape`, (C, H, W) for images; its initial weights are drawn from `seed` alone.

    `sha256` is the hash of the source of a network of the user's own, which a study has named. With `features` those
    that its first dense layer reads can be removed one by one (see `features.py`). Raises ValueError for an unknown
    name, and for options or a shape that the network cannot honour; UsageError for an own one that fails.
    """
    check(network, widths, activation, norm)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if sha256 is not None:
            return build_own(network, sha256, shape, classes, widths, activation, norm)
        if len(shape) != 3 and network not in ANY_SHAPE:
            raise ValueError(f"{network} needs images (C × H × W), and the samples have the shape {shape}")
        if network.startswith(TORCHVISION):
            return _torchvision(network.removeprefix(TORCHVISION), shape, classes)
        if network.startswith(TIMM):
            return _timm(network.removeprefix(TIMM), shape, classes)
        built = NETWORKS[network](shape, classes, widths, activation, norm)
    if features:
        check_features(network)
        make_single(built)
    return built


def mlp(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """A fully connected network with hidden layers of the given widths (default one of 256)."""
    layers: list[nn.Module] = [nn.Flatten()]
    fan_in = math.prod(shape)
    for width in widths or (256,):
        layers += block(linear(fan_in, width, norm), activation, norm)
        fan_in = width
    return nn.Sequential(*layers, nn.Linear(fan_in, classes))


def lenet300(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """LeNet-300-100: fully connected, two hidden layers (default widths 300, 100)."""
    _expect("lenet300", widths, 2)
    return mlp(shape, classes, widths or (300, 100), activation, norm)


def lenet5(shape: tuple[int, ...], classes: int, widths: tuple[int, ...], activation: str, norm: str) -> nn.Module:
    """LeNet-5 in the Caffe form: two 5 × 5 convolutions with pooling, one hidden layer (default widths 20, 50, 500)."""
    _expect("lenet5", widths, 3)
    first, second, hidden = widths or (20, 50, 500)
    positions = math.prod(((side - 4) // 2 - 4) // 2 for side in shape[1:])
    if min(shape[1:]) < 16:
        raise ValueError(f"lenet5 needs images of at least 16 × 16 pixels, not {shape[1]} × {shape[2]}")
    return nn.Sequential(
        *block(conv(shape[0], first, 5, norm), activation, norm),
        nn.MaxPool2d(2),
        *block(conv(first, second, 5, norm), activation, norm),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *block(linear(second * positions, hidden, norm), activation, norm),
        nn.Linear(hidden, classes),
    )


def _expect(network: str, widths: tuple[int, ...], count: int) -> None:
    if widths and len(widths) != count:
        raise ValueError(f"{network} takes {count} widths, not {len(widths)}")


def _torchvision(name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """torchvision's network, untrained, with a stem for the images' channels and, if they are small, for their size."""
    options = {"init_weights": True, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    network = import_torchvision().models.get_model(name, weights=None, num_classes=classes, **options)
    _fit_stem(network, shape[0], small=min(shape[1:]) < SMALL)
    return network


def _timm(name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """timm's network, untrained, for the images' channels; its stem is as it comes. Raises ValueError."""
    library = timm()
    if name not in library.list_models():
        raise ValueError(str(unknown("network", TIMM + name, [TIMM + x for x in library.list_models()])))
    network: nn.Module = library.create_model(name, pretrained=False, num_classes=classes, in_chans=shape[0])
    return network


def _fit_stem(network: nn.Module, channels: int, small: bool) -> None:
    """Makes the first convolution read `channels`; for small images it becomes 3 × 3, and nothing halves behind it."""
    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d)]
    first, stem = layers[0]
    kernel, stride, padding = stem.kernel_size, stem.stride, stem.padding
    if small and stride == (2, 2):
        kernel, stride, padding = (3, 3), (1, 1), (1, 1)
        second, pool = layers[1]
        if isinstance(pool, nn.MaxPool2d):
            network.set_submodule(second, nn.Identity())
    if (channels, kernel, stride) != (stem.in_channels, stem.kernel_size, stem.stride):
        fitted = nn.Conv2d(channels, stem.out_channels, kernel, stride, padding, bias=stem.bias is not None)
        nn.init.kaiming_normal_(fitted.weight, mode="fan_out", nonlinearity="relu")
        network.set_submodule(first, fitted)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    network.__name__: network for network in (mlp, lenet300, lenet5, vgg11, vgg16, basicnet, resnet20, resnet56)
}

"""The benchmark's networks: they take their options, and are reduced to what is built from scratch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmark.networks import build as models
from benchmark.networks import measure, names
from benchmark.networks.blocks import ACTIVATIONS
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups

TORCHVISION = ["resnet18", "resnet50", "vgg16_bn", "mobilenet_v2", "densenet121", "convnext_tiny", "regnet_x_400mf"]


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def randomise(module: nn.Module) -> nn.Module:
    """Random weights and shifts, with statistics that fit, so that silent channels emit constants and logits vary."""
    generator = torch.Generator().manual_seed(0)
    slope = 4 if any(isinstance(layer, nn.Sigmoid) for layer in module.modules()) else 1  # 1 over the sigmoid's own
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.bias.normal_(generator=generator)
            layer.momentum = 1.0
        elif isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            layer.weight *= slope
    with torch.random.fork_rng():
        module.train()(images(16))
    logits = module.eval()(images())
    assert logits.std(0).max() > 1e-5 * logits.abs().max()
    return module


def silence_half(module: nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for group in find_groups(module, images()).groups:
        group.zero_incoming(torch.randperm(group.size, generator=generator) < group.size // 2)


def silence_alike(module: nn.Module) -> None:
    """Silences half the channels of each group, and of each group of a grouped convolution."""
    for group in find_groups(module, images()).groups:
        group.zero_incoming(torch.arange(group.size) % 4 < 2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("network", ["mlp", "lenet300", "lenet5", "vgg11", "basicnet", "resnet20"])
def test_every_option_is_reduced_exactly(network, norm, activation):
    widths = {"vgg11": (4,), "basicnet": (4,), "resnet20": (4,)}.get(network, ())
    module = models.build(network, (3, 32, 32), 10, seed=0, widths=widths, activation=activation, norm=norm)
    randomise(module)
    silence_half(module)
    removal = remove_silent(module, images())
    assert removal.deviation <= 1e-9
    assert sum(removal.channels_left.values()) <= 0.9 * sum(removal.channels.values())


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_classifiers_are_reduced_exactly(name):
    module = randomise(models.build(f"torchvision:{name}", (3, 32, 32), 10, seed=0))
    silence_alike(module) if name.startswith("regnet") else silence_half(module)
    removal = remove_silent(module, images())
    assert removal.deviation <= 1e-9
    inner = {group: left for group, left in removal.channels_left.items() if group not in removal.kept_whole}
    assert inner
    assert all(left < removal.channels[group] for group, left in inner.items())
    if name == "convnext_tiny":
        assert all("ayer_norm" in reason or "LayerNorm" in reason for reason in removal.kept_whole.values())
    else:
        assert not removal.kept_whole


def widths_by_layer(name: str, module: nn.Module, left: dict[str, int]) -> dict[str, tuple[int, int]]:
    """By convolution or linear layer its input and output width, from the widths of the groups and the architecture."""
    layers = [n for n, m in module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    rules = {"vgg16": _vgg, "resnet56": _resnet56, "resnet18": _resnet18, "densenet121": _densenet}
    return rules[name](layers, left)


def _vgg(layers, left):
    outputs = [left.get(name, 10) for name in layers]
    return dict(zip(layers, zip([3, *outputs], outputs, strict=False), strict=True))


def _residual_widths(stages, stem, head, left):
    """`stages`: per stage its blocks as (first, second, shortcut or None)."""
    width = left[stem]
    widths = {stem: (3, width)}
    for blocks in stages:
        for first, second, shortcut in blocks:
            if shortcut:
                out = left[shortcut] if shortcut in left else left[second]
                widths[shortcut] = (width, out)
            else:
                out = width
            widths[first], widths[second] = (width, left[first]), (left[first], out)
            width = out
    widths[head] = (width, 10)
    return widths


def _resnet56(layers, left):
    names = iter(layers[1:-1])
    stages = []
    for stage in range(3):
        blocks = []
        for block in range(9):
            first, second = next(names), next(names)
            blocks.append((first, second, next(names) if stage and not block else None))
        stages.append(blocks)
    return _residual_widths(stages, layers[0], layers[-1], left)


def _resnet18(layers, left):
    stages = [
        [
            (f"layer{s}.{b}.conv1", f"layer{s}.{b}.conv2", f"layer{s}.0.downsample.0" if s > 1 and not b else None)
            for b in range(2)
        ]
        for s in range(1, 5)
    ]
    return _residual_widths(stages, "conv1", "fc", left)


def _densenet(layers, left):
    width = left["features.conv0"]
    widths = {"features.conv0": (3, width)}
    for name in layers[1:]:
        if name.endswith("conv1"):
            widths[name] = (width, left[name])
            inner = left[name]
        elif name.endswith("conv2"):
            widths[name] = (inner, left[name])
            width += left[name]
        elif "transition" in name:
            widths[name] = (width, left[name])
            width = left[name]
        else:
            widths[name] = (width, 10)
    return widths


def from_scratch(module: nn.Module, widths: dict[str, tuple[int, int]], norms: dict[str, int]) -> nn.Module:
    """The same architecture with new layers of the given widths."""
    module = copy.deepcopy(module)
    for name, layer in list(module.named_modules()):
        if name in widths and isinstance(layer, nn.Linear):
            module.set_submodule(name, nn.Linear(*widths[name]))
        elif name in widths:
            bias = layer.bias is not None
            new = nn.Conv2d(*widths[name], layer.kernel_size, layer.stride, layer.padding, bias=bias)
            module.set_submodule(name, new)
        elif isinstance(layer, nn.BatchNorm2d):
            module.set_submodule(name, nn.BatchNorm2d(norms[name]))
    return module.eval()


def norm_widths(name: str, module: nn.Module, widths: dict[str, tuple[int, int]]) -> dict[str, int]:
    """A norm is as wide as the convolution before it; in a DenseNet those in front of a convolution, as its input."""
    found, last = {}, 0
    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for (layer, kind), (following, _) in zip(layers, [*layers[1:], ("", None)], strict=True):
        if isinstance(kind, nn.BatchNorm2d):
            in_front = name == "densenet121" and layer != "features.norm0"
            found[layer] = widths[following][0] if in_front else last
        else:
            last = widths[layer][1]
    return found


@pytest.mark.parametrize("name", ["vgg16", "resnet56", "resnet18", "densenet121"])
def test_a_half_silenced_network_costs_what_one_of_those_widths_does(name):
    prefix = "torchvision:" if name in ("resnet18", "densenet121") else ""
    module = randomise(models.build(prefix + name, (3, 32, 32), 10, seed=0))
    silence_half(module)
    removal = remove_silent(module, images())
    assert removal.deviation <= 1e-9
    assert not removal.kept_whole
    assert all(n // 2 <= removal.channels_left[g] <= (n + 1) // 2 + 1 for g, n in removal.channels.items())

    widths = widths_by_layer(name, module, removal.channels_left)
    scratch = from_scratch(module, widths, norm_widths(name, module, widths))
    assert measure.parameters(removal.module) == measure.parameters(scratch) < 0.4 * measure.parameters(module)
    assert measure.macs(removal.module, images()) == measure.macs(scratch, images())


def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    first, second = (models.build("torchvision:resnet18", (1, 28, 28), 10, seed=4) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_small_images_get_the_stem_that_is_usual_for_them():
    small = models.build("torchvision:resnet18", (1, 32, 32), 10, seed=0)
    large = models.build("torchvision:resnet18", (3, 224, 224), 10, seed=0)
    assert (small.conv1.kernel_size, small.conv1.stride, small.conv1.in_channels) == ((3, 3), (1, 1), 1)
    assert isinstance(small.maxpool, nn.Identity)
    assert (large.conv1.kernel_size, large.conv1.stride) == ((7, 7), (2, 2))


def test_widths_scale_or_name_every_layer():
    def convolutions(module):
        return [m.out_channels for m in module.modules() if isinstance(m, nn.Conv2d)]

    build = lambda *widths: models.build("vgg11", (3, 32, 32), 10, seed=0, widths=widths)  # noqa: E731
    assert convolutions(build(16)) == [16, 32, 64, 64, 128, 128, 128, 128]
    assert convolutions(build(1, 2, 3, 4, 5, 6, 7, 8)) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("resnet65", {}, "unknown network 'resnet65'; did you mean 'resnet56'"),
        ("torchvision:resnet81", {}, "did you mean 'torchvision:resnet18'"),
        (
            "torchvision:resnet18",
            {"activation": "tanh"},
            "resnet18 has its own widths, activation and norm",
        ),
        ("torchvision:resnet18", {"norm": "none"}, "has its own widths, activation and norm"),
        ("torchvision:resnet18", {"widths": (8,)}, "has its own widths, activation and norm"),
        ("mlp", {"activation": "swish"}, "unknown activation 'swish'"),
        ("lenet5", {"widths": (1,)}, "lenet5 takes 3 widths, not 1"),
        ("vgg16", {"widths": (1, 2)}, "vgg takes 1 width or 13, not 2"),
    ],
)
def test_what_a_network_cannot_honour_is_refused(network, options, message):
    with pytest.raises(ValueError, match=message) as error:
        models.build(network, (3, 32, 32), 10, seed=0, **options)
    assert "\n" not in str(error.value)


def test_images_too_small_are_refused():
    with pytest.raises(ValueError, match="vgg needs images of at least 32 × 32 pixels, not 28 × 28"):
        models.build("vgg16", (1, 28, 28), 10, seed=0)


def test_every_network_that_has_a_name_can_be_built():
    assert tuple(models.NETWORKS) == names.NETWORKS

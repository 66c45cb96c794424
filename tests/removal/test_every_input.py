"""What is removed changes nothing for any input of any size: situations in which one batch would not show it."""

from __future__ import annotations

import copy
import types

import pytest
import torch
from torch import nn

from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups
from benchmark.removal.labels import UntraceableError


def images(side: int, count: int = 4, scale: float = 1.0, channels: int = 1) -> torch.Tensor:
    return scale * torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(side)).double()


@torch.no_grad()
def worst(reduced: nn.Module, silenced: nn.Module, *batches: torch.Tensor) -> float:
    pairs = [(reduced(x.clone()), silenced(x.clone())) for x in batches]
    return max(((found - expected).abs().max() / expected.abs().max()).item() for found, expected in pairs)


def conv(*layers: nn.Module) -> nn.Sequential:
    """A convolution whose second unit emits 1, what lies between, and a classifier of two channels' means."""
    torch.manual_seed(0)
    first = nn.Conv2d(1, 2, 3)
    first.weight.data[1], first.bias.data[1] = 0, 1
    return nn.Sequential(first, nn.ReLU(), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).double()


BORDERS = {
    "a padded depthwise convolution": nn.Conv2d(2, 2, 3, padding=1, groups=2),
    "a pooling that counts its border": nn.AvgPool2d(3, padding=1),
    "a padding": nn.ZeroPad2d(1),
    "a padding with another value": nn.ConstantPad2d(1, 0.5),
    "an average with a divisor of its own": nn.AvgPool2d(3, ceil_mode=True, divisor_override=4),
}
NO_BORDERS = {
    "a depthwise convolution": nn.Conv2d(2, 2, 3, groups=2),
    "a pooling that does not count its border": nn.AvgPool2d(3, padding=1, count_include_pad=False),
    "a reflection": nn.ReflectionPad2d(1),
    "a largest value": nn.MaxPool2d(3, padding=1),
    "a divisor of its own": nn.AvgPool2d(2, divisor_override=3),
    "an upsampling": nn.Upsample(scale_factor=2, mode="bilinear"),
}


@pytest.mark.parametrize("name", BORDERS)
def test_what_a_border_makes_of_a_constant_depends_on_the_size_and_stays(name):
    network = conv(copy.deepcopy(BORDERS[name])).eval()
    removal = remove_silent(network, images(8))
    assert removal.channels_left == {"0": 2}
    assert worst(removal.module, network, images(16), images(9)) <= 1e-12


@pytest.mark.parametrize("name", NO_BORDERS)
def test_a_constant_that_no_border_changes_goes(name):
    network = conv(copy.deepcopy(NO_BORDERS[name])).eval()
    removal = remove_silent(network, images(8))
    assert removal.channels_left == {"0": 1}
    assert worst(removal.module, network, images(16), images(9)) <= 1e-12


def test_zero_stays_zero_at_a_border():
    network = conv(nn.Conv2d(2, 2, 3, padding=1, groups=2, bias=False)).eval()
    network[0].bias.data[1] = -1
    removal = remove_silent(network, images(8))
    assert removal.channels_left == {"0": 1}
    assert worst(removal.module, network, images(16)) <= 1e-12


def test_a_sum_over_positions_depends_on_their_number():
    class Summed(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x).relu().sum((2, 3)))

    torch.manual_seed(0)
    network = Summed(nn.Conv2d(1, 2, 3), nn.Linear(2, 2)).double().eval()
    network[0].weight.data[1], network[0].bias.data[1] = 0, 1
    removal = remove_silent(network, images(8))
    assert removal.channels_left == {"0": 2}
    assert worst(removal.module, network, images(12)) <= 1e-12


class Two(nn.Module):
    """Two layers, what is made of their outputs, and a classifier."""

    def __init__(self, join):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.head, self.join = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2), join

    def forward(self, x):
        return self.head(self.join(self, x))


def in_place(net, x):
    y = net.a(x)
    y.add_(net.b(x))
    return y.relu()


def through_an_alias(net, x):
    y = net.a(x)
    alias = y.view(-1)
    alias += net.b(x).reshape(-1)
    return y.relu()


def alias_read_after_a_write(net, x):
    y = net.a(x)
    alias = y.detach()
    y += net.b(x)
    return (alias * 1).relu()


def written_in_part(net, x):
    y = net.a(x)
    y[:, 1:] = net.b(x)[:, 1:]
    return y.relu()


def into_a_buffer(net, x):
    y = torch.zeros(len(x), 4, dtype=x.dtype)
    y[:] = net.b(x)
    return net.a(x).relu() * y


SITUATIONS = {
    "a mean over the batch": lambda net, x: net.b(x).relu() * net.a(x).mean(),
    "a largest value over the batch": lambda net, x: net.b(x).relu() * net.a(x).amax(),
    "a mean over the samples": lambda net, x: net.b(x).relu() * net.a(x).mean(0),
    "in place": in_place,
    "through an alias": through_an_alias,
    "an alias read after a write": alias_read_after_a_write,
    "written in part": written_in_part,
    "into a buffer": into_a_buffer,
}


@pytest.mark.parametrize("asleep", [False, True])
@pytest.mark.parametrize("name", SITUATIONS)
def test_batches_and_writes_change_nothing_that_was_taken_for_a_constant(name, asleep):
    network = Two(SITUATIONS[name]).double().eval()
    for layer in (network.a, network.b)[: 1 if asleep else 2]:
        layer.weight.data[1] = 0
        layer.bias.data[1] = -6 if asleep else 1
    x = torch.randn(8, 3, dtype=torch.float64)
    removal = remove_silent(network, x)
    assert worst(removal.module, network, x[:1], x[2:5], 10 * x, 100 * x) <= 1e-9


def test_a_number_read_from_the_batch_is_refused():
    network = Two(lambda net, x: nn.functional.leaky_relu(net.b(x), net.a(x).mean().item())).double()
    with pytest.raises(UntraceableError, match="depends on values that come from its input"):
        remove_silent(network, torch.randn(4, 3))


@pytest.mark.parametrize("take", ["numpy", "tolist"])
def test_values_taken_out_of_torch_are_refused(take):
    network = Two(lambda net, x: net.b(x) * torch.tensor(getattr(net.a(x), take)())).double()
    with pytest.raises(UntraceableError, match=f"takes values out of torch \\({take}\\)"):
        remove_silent(network, torch.randn(4, 3))


def woken(layer: nn.Linear, way: str) -> None:
    """Adds a row's mean input to all of a layer's outputs, in a way that its type does not show."""
    if way == "hook":
        layer.register_forward_hook(lambda _, inputs, output: output + inputs[0].mean(-1, keepdim=True))
    elif way == "hook before":
        layer.register_forward_pre_hook(lambda _, inputs: inputs[0] + inputs[0].mean(-1, keepdim=True))
    elif way == "method":
        layer.forward = types.MethodType(lambda self, x: nn.Linear.forward(self, x) + x.mean(-1, keepdim=True), layer)
    else:
        forward = layer.forward
        layer.forward = lambda x: forward(x) + x.mean(-1, keepdim=True)


@pytest.mark.parametrize("way", ["hook", "hook before", "method", "closure"])
def test_hooks_and_replaced_forward_passes_are_followed_or_kept(way):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double().eval()
    network[0].weight.data[1], network[0].bias.data[1] = 0, -6
    woken(network[0], way)
    x = torch.randn(8, 3, dtype=torch.float64)
    removal = remove_silent(network, x)
    assert worst(removal.module, network, x, 100 * x) <= 1e-9


def test_a_hook_that_changes_nothing_keeps_nothing():
    seen = []
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    network[0].register_forward_hook(lambda _, __, output: seen.append(output.shape))
    network[0].weight.data[1] = 0
    assert remove_silent(network, torch.randn(4, 3)).channels_left == {"0": 3}


def test_a_network_with_a_memory_is_refused():
    class Counting(nn.Sequential):
        steps = 0

        def __init__(self, *layers):
            super().__init__(*layers)
            self.steps = 0

        def forward(self, x):
            self.steps += 1
            return super().forward(x)

    with pytest.raises(UntraceableError, match="its forward pass changes steps"):
        find_groups(Counting(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(2, 3))


def test_a_network_that_writes_to_a_buffer_is_refused():
    class Averaging(nn.Sequential):
        def __init__(self, *layers):
            super().__init__(*layers)
            self.register_buffer("average", torch.zeros(3))

        def forward(self, x):
            self.average.lerp_(x.mean(0), 0.1)
            return super().forward(x + self.average)

    with pytest.raises(UntraceableError, match="its forward pass changes average"):
        find_groups(Averaging(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(2, 3))


def test_a_network_that_reads_what_it_left_the_last_time_is_refused():
    class Levelling(nn.Sequential):
        def __init__(self, *layers):
            super().__init__(*layers)
            self.level = torch.zeros(())

        def forward(self, x):
            self.level = 0.9 * self.level + x.mean()
            return super().forward(x - self.level)

    with pytest.raises(UntraceableError, match="its forward pass changes level"):
        find_groups(Levelling(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(2, 3))


def test_how_many_values_pass_a_mask_must_not_decide():
    network = Two(lambda net, x: net.b(x) * len(x[x > 0])).double()
    with pytest.raises(UntraceableError, match="depends on values that come from its input"):
        remove_silent(network, torch.randn(4, 3))

"""What removal takes and leaves as it is: formats, gradients, code that runs in training only, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from benchmark.networks.build import build
from benchmark.removal.exact import RemovalError, remove_silent
from benchmark.removal.labels import UntraceableError


def test_removal_keeps_dtypes_and_frozen_parameters():
    network = build("mlp", (1, 4, 4), 3, seed=0, widths=(8, 8))
    network[1].weight.requires_grad_(False)
    network[4].to(torch.float64)
    network[5].to(torch.float64)
    network[1].weight.data[:3] = 0
    mixed = copy.deepcopy(network)
    removal = remove_silent(mixed, torch.randn(3, 1, 4, 4))
    assert removal.module[1].weight.shape == (5, 16)
    assert not removal.module[1].weight.requires_grad
    assert [p.dtype for p in removal.module.parameters()] == [p.dtype for p in network.parameters()]


@pytest.mark.parametrize(
    ("broken", "images", "message"),
    [
        ("nan", (2, 1, 4, 4), r"outputs are not finite: 1\.weight holds NaN or infinite values"),
        (
            "none",
            (2, 1, 5, 5),
            r"Sequential cannot be traced on samples of shape \(1, 5, 5\): .*shapes cannot be",
        ),
    ],
)
def test_bad_input_is_one_clear_line(broken, images, message):
    network = build("mlp", (1, 4, 4), 3, seed=0)
    if broken == "nan":
        network[1].weight.data[0, 0] = torch.nan
    with pytest.raises((RemovalError, UntraceableError), match=message) as error:
        remove_silent(network, torch.randn(images))
    assert "\n" not in str(error.value)


def test_channels_whose_number_decides_in_the_code_are_kept():
    class Stubborn(nn.Sequential):
        def forward(self, x):
            x = self[1](self[0](x))
            return self[2](x * (1.0 if x.shape[-1] == 8 else 2.0))

    network = Stubborn(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    network[0].weight.data[:2], network[0].bias.data[:2] = 0, 0
    removal = remove_silent(network, torch.randn(3, 4))
    assert removal.channels_left == {"0": 8}
    assert removal.kept_whole == {"0": "mul depends on how many there are"}


@pytest.mark.parametrize("before", range(1, 9))
def test_a_number_of_two_channels_is_seen_to_decide_whatever_lies_before(before):
    class Dividing(nn.Sequential):
        def forward(self, x):
            x = self[1](self[0](x))
            return self[2](x / x.shape[-1])

    network = Dividing(nn.Linear(4, before), nn.Linear(before, 2), nn.Linear(2, 2))
    network[1].weight.data[:1], network[1].bias.data[:1] = 0, 0
    assert remove_silent(network, torch.randn(3, 4)).kept_whole == {"1": "div depends on how many there are"}


def test_code_that_minds_the_values_of_parameters_does_not_keep_channels():
    class Gated(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
            self.gate = nn.Parameter(torch.ones(()))

        def forward(self, x):
            x = self[1](self[0](x))
            return self[2](x.exp() if self.gate.item() > 0.5 else x)

    network = Gated()
    network[0].weight.data[:2] = 0
    assert remove_silent(network, torch.randn(4, 3)).channels_left == {"0": 4}


def test_a_network_that_runs_on_the_first_samples_alone_is_refused():
    class Few(nn.Sequential):
        def forward(self, x):
            return super().forward(x.view(min(len(x), 2), 3))

    with pytest.raises(RemovalError, match="does not run on the example"):
        remove_silent(Few(nn.Linear(3, 6), nn.Linear(6, 2)), torch.randn(4, 3))


def test_new_biases_of_a_frozen_network_want_no_gradients():
    network = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2, bias=False)).requires_grad_(False)
    network[0].weight[1] = 0
    reduced = remove_silent(network, torch.randn(3, 3)).module
    assert reduced[2].bias is not None
    assert not any(parameter.requires_grad for parameter in reduced.parameters())


def test_the_memory_format_stays():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3)).to(memory_format=torch.channels_last)
    network[0].weight.data[1], network[0].bias.data[1] = 0, -1
    reduced = remove_silent(network, torch.randn(2, 2, 8, 8)).module
    assert reduced[0].weight.shape[0] == 3
    assert all(reduced[i].weight.is_contiguous(memory_format=torch.channels_last) for i in (0, 2))


class Caching(nn.Sequential):
    def forward(self, x):
        self.seen = super().forward(x)
        return self.seen


@pytest.mark.parametrize("kind", ["mask", "weight norm", "cached activation"])
def test_a_network_that_has_run_with_gradients_can_be_reduced(kind):
    network = Caching(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    network[0].weight.data[1], network[0].bias.data[1] = 0, -1
    if kind == "mask":
        prune.random_unstructured(network[2], "weight", 2)
    elif kind == "weight norm":
        nn.utils.parametrizations.weight_norm(network[4])
    x = torch.randn(5, 3)
    expected = network(x)
    removal = remove_silent(network, x)
    assert removal.channels_left["0"] == (4 if kind == "mask" else 3)
    assert torch.allclose(removal.module(x), expected, atol=1e-6)
    assert removal.module(x).dtype == torch.float32


def test_layers_that_only_training_passes_fit_what_is_left():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)
            self.side, self.out = nn.Linear(6, 4), nn.Linear(4, 2)

        def forward(self, x):
            x = self.norm(self.first(x)).relu()
            return (self.last(x), self.out(self.side(x).relu())) if self.training else self.last(x)

    network = Auxiliary().train()
    statistics = network.norm.running_mean.clone()
    network.first.weight.data[:2] = 0
    removal = remove_silent(network, torch.randn(5, 3))
    assert removal.channels_left["first"] == 4
    assert removal.module.side.weight.shape == (4, 4)
    assert torch.equal(removal.module.side.weight, network.side.weight[:, 2:])
    assert [y.shape for y in removal.module.train()(torch.randn(5, 3))] == [(5, 2), (5, 2)]
    assert torch.equal(network.norm.running_mean, statistics)


def test_a_head_of_training_that_needs_a_larger_image_fits_what_is_left():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 6, 3), nn.Linear(6, 2)
            self.side, self.norm, self.out = nn.Conv2d(6, 4, 5), nn.BatchNorm2d(4), nn.Linear(4, 2)

        def forward(self, x):
            x = self.first(x).relu()
            y = self.last(x.mean((2, 3)))
            if not self.training:
                return y
            return y, self.out(self.norm(self.side(nn.functional.avg_pool2d(x, 5, 3))).mean((2, 3)))

    network = Auxiliary().train()
    network.first.weight.data[:2] = 0
    removal = remove_silent(network, torch.randn(5, 1, 12, 12))
    assert removal.channels_left["first"] == 4
    assert torch.equal(removal.module.side.weight, network.side.weight[:, 2:])
    assert [y.shape for y in removal.module.train()(torch.randn(5, 1, 32, 32))] == [(5, 2), (5, 2)]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_scripted_network_and_one_that_casts_are_refused_in_one_line():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.raises(UntraceableError, match=r"0 is a ScriptModule: pass the nn\.Module that it was made of"):
        remove_silent(nn.Sequential(torch.jit.script(network[0]), network[1]), torch.randn(2, 3))
    with pytest.raises(UntraceableError, match=r"^it is a ScriptModule: "):
        remove_silent(torch.jit.script(network), torch.randn(2, 3))

    class Casting(nn.Sequential):
        def forward(self, x):
            return super().forward(x.float())

    with pytest.raises(UntraceableError, match=r"its layers do not take what it casts to torch\.float32"):
        remove_silent(Casting(*network), torch.randn(2, 3))

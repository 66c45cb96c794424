"""Networks of today's kinds: what is followed through them goes, and what is left is exact at two sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups


class Between(nn.Module):
    """Two convolutions of an image, an operation on the first one's eight channels, and a classifier."""

    def __init__(self, operation, inputs: int = 8, **parts: nn.Module | nn.Parameter):
        super().__init__()
        self.operation = operation
        for name, part in parts.items():
            setattr(self, name, part)
        self.first, self.second, self.head = nn.Conv2d(2, 8, 3), nn.Conv2d(inputs, 4, 1), nn.Linear(4, 3)

    def forward(self, x):
        x = self.operation(self, self.first(x).relu())
        return self.head(self.second(x).relu().mean((2, 3)))


class Normed(nn.BatchNorm2d):
    """A batch norm with an activation of its own, through the functional form."""

    def forward(self, x):
        statistics = (self.running_mean, self.running_var, self.weight, self.bias)
        return F.batch_norm(x, *statistics, training=False, eps=self.eps).relu()


class Frozen(nn.Module):
    """A batch norm whose scale and shift are computed from buffers."""

    def __init__(self):
        super().__init__()
        for name in ("weight", "variance"):
            self.register_buffer(name, torch.rand(8) + 0.5)
        for name in ("bias", "mean"):
            self.register_buffer(name, torch.randn(8))

    def forward(self, x):
        scale = (self.weight * (self.variance + 1e-5).rsqrt()).reshape(1, -1, 1, 1)
        return x * scale + (self.bias.reshape(1, -1, 1, 1) - self.mean.reshape(1, -1, 1, 1) * scale)


def squeeze_and_excite(net, x):
    b, c = x.shape[:2]
    gate = net.up(net.down(x.mean((2, 3)).view(b, c)).relu()).sigmoid()
    return x * gate.view(b, c, 1, 1).expand_as(x)


def gated(net, x):
    a, b = net.wide(x).chunk(2, 1)
    return a * b.sigmoid()


def shuffled(_, x):
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def normed(kind):
    return lambda net, x: net.norm(x), {"norm": kind}


# By name: the operation, its parts, and how many of the first two channels, which are silent, can go.
FOLLOWED = {
    "a subclass of batch norm": (*normed(Normed(8)), 2),
    "a frozen batch norm": (*normed(Frozen()), 2),
    "an instance norm": (*normed(nn.InstanceNorm2d(8, affine=True)), 2),
    "an instance norm without scales": (lambda _, x: F.instance_norm(x), {}, 2),
    "SyncBatchNorm": (*normed(nn.SyncBatchNorm(8)), 2),
    "PReLU": (lambda net, x: net.act(x - 0.5), {"act": nn.PReLU(8)}, 2),
    "a scale of its own": (lambda net, x: x * net.scale, {"scale": nn.Parameter(torch.rand(8, 1, 1))}, 2),
    "a shift of its own": (lambda net, x: x + net.shift.view(1, -1, 1, 1), {"shift": nn.Parameter(torch.rand(8))}, 2),
    "squeeze and excitation": (squeeze_and_excite, {"down": nn.Linear(8, 2), "up": nn.Linear(2, 8)}, 2),
    "arithmetic": (lambda _, x: ((-x).abs().pow(2) / 3 + x.clamp(0.1, 2)).neg(), {}, 2),
    "a largest value": (lambda _, x: x * x.amax((2, 3), keepdim=True), {}, 2),
    "a pooled value by max": (lambda _, x: x - x.flatten(2).max(-1).values[..., None, None], {}, 2),
    "padding": (lambda _, x: F.pad(x, (1, 2, 1, 0)), {}, 2),
    "reflection": (lambda _, x: F.pad(x, (1, 2, 1, 1), mode="reflect"), {}, 2),
    "an upsampling": (lambda _, x: F.interpolate(x, scale_factor=2, mode="bilinear"), {}, 2),
    "one position": (lambda _, x: x[:, :, :1, -1:], {}, 2),
    "permuted channels": (lambda _, x: x.permute(0, 2, 3, 1).flip(1).permute(0, 3, 1, 2), {}, 2),
    "positions that are rolled": (lambda _, x: x.roll((1, 2), (2, -1)), {}, 2),
    "beside what is not followed": (
        lambda _, x: torch.cat([x, torch.ones(len(x), 1, *x.shape[2:], dtype=x.dtype)], 1),
        {"inputs": 9},
        2,
    ),
    "a sum of parts": (lambda _, x: torch.stack([x, 2 * x]).sum(0), {}, 2),
    "a branch on the size": (lambda _, x: x if x.shape[-1] > 100 else 2 * x, {}, 2),
    "a loop over the size": (lambda _, x: sum(x[..., i : i + 1] for i in range(x.shape[-1])), {}, 2),
    "a layer that is scripted by hand": (
        lambda net, x: F.conv2d(x, net.mid.weight, net.mid.bias),
        {"mid": nn.Conv2d(8, 8, 1)},
        2,
    ),
    "a shuffle": (shuffled, {}, 0),
}


def silent(network: Between, channels: list[int]) -> None:
    network.first.weight.data[channels], network.first.bias.data[channels] = 0, -1


def check(network: nn.Module, *batches: tuple[torch.Tensor, ...]):
    removal = remove_silent(network, batches[0] if len(batches[0]) > 1 else batches[0][0])
    for batch in batches:
        expected, found = network(*batch), removal.module.eval()(*batch)
        assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()
    return removal


IMAGES = [(torch.randn(3, 2, side, side, dtype=torch.float64),) for side in (9, 12)]


@pytest.mark.parametrize("name", FOLLOWED)
def test_channels_go_through_what_is_followed(name):
    operation, parts, gone = FOLLOWED[name]
    network = Between(operation, **parts).double().eval()
    silent(network, [0, 1])
    removal = check(network, *IMAGES)
    assert removal.channels_left["first"] == 8 - gone
    assert not removal.kept_whole


def test_channels_that_a_shuffle_pairs_go_together():
    network = Between(shuffled).double().eval()
    silent(network, [1, 5])
    assert check(network, *IMAGES).channels_left == {"first": 6, "second": 4}


def test_halves_of_a_gated_unit_go_together():
    network = Between(gated, wide=nn.Conv2d(8, 16, 1)).double().eval()
    network.wide.weight.data[[2, 10]] = 0
    network.wide.bias.data[2] = 0
    removal = check(network, *IMAGES)
    assert removal.channels == {"first": 8, "wide": 16, "second": 4}
    assert removal.channels_left == {"first": 8, "wide": 14, "second": 4}


def test_what_a_pixel_shuffle_makes_a_channel_of_goes_together():
    network = Between(lambda _, x: F.pixel_shuffle(x, 2), inputs=2).double().eval()
    silent(network, [0, 1, 2, 3])
    assert check(network, *IMAGES).channels_left == {"first": 4, "second": 4}


KEPT = {
    "a computed weight": (
        lambda net, x: F.conv2d(x, net.mid.weight - net.mid.weight.mean((1, 2, 3), keepdim=True)),
        {"mid": nn.Conv2d(8, 8, 1, bias=False)},
        "the weight of their layer is computed, or not its own",
    ),
    "a layer norm": (
        lambda net, x: net.norm(x.movedim(1, -1)).movedim(-1, 1),
        {"norm": nn.LayerNorm(8)},
        "layer_norm mixes them",
    ),
    "a group norm": (*normed(nn.GroupNorm(2, 8)), "group_norm mixes them"),
    "a transposed convolution": (
        lambda net, x: net.up(x),
        {"up": nn.ConvTranspose2d(8, 8, 2)},
        "convolution has no rule",
    ),
    "a depthwise convolution along another axis": (
        lambda net, x: net.mid(F.adaptive_avg_pool2d(x, 6).movedim(1, -1)).movedim(-1, 1),
        {"mid": nn.Conv2d(6, 6, 1, groups=6)},
        "convolution has no rule",
    ),
    "a pooling over pairs of them": (
        lambda _, x: F.max_pool3d(x.unflatten(1, (4, 2)), (2, 1, 1)).squeeze(2),
        {"inputs": 4},
        "max_pool3d",
    ),
    "more channels": (lambda _, x: F.pad(x, (0, 0, 0, 0, 1, 2)), {"inputs": 11}, "pad adds channels to it"),
    "a roll": (lambda _, x: x.roll(1, 1), {}, "roll moves them by a number"),
    "a roll of all elements": (lambda _, x: x.roll(3), {}, "roll moves them by a number"),
    "a first half": (lambda _, x: torch.cat([x[:, :4], -x[:, 4:]], 1), {}, "slice depends on how many there are"),
    "numbers of channels": (lambda _, x: x / x.shape[1], {}, "div depends on how many there are"),
    "places of channels": (
        lambda _, x: x * torch.arange(x.shape[1]).view(1, -1, 1, 1),
        {},
        "mul meets a tensor of fixed width",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_channels_stay_where_they_are_mixed_or_counted(name):
    operation, parts, reason = KEPT[name]
    network = Between(operation, **parts).double().eval()
    silent(network, [0, 1])
    removal = check(network, *IMAGES)
    assert removal.channels_left["first"] == 8
    assert reason in removal.kept_whole["first"]


def test_hidden_layers_of_a_transformer_go():
    network = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3)).double().eval()
    network[0].linear1.weight.data[:5] = 0
    removal = check(network, (torch.randn(3, 7, 8, dtype=torch.float64),), (torch.randn(2, 4, 8, dtype=torch.float64),))
    assert removal.channels_left["0.linear1"] == 11


def test_several_inputs_token_ids_and_a_dict_of_outputs_are_followed():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.hidden, self.out = nn.Embedding(9, 4), nn.Linear(6, 8), nn.Linear(8, 2)

        def forward(self, ids, x):
            assert ids.shape[0] == x.shape[0]
            hidden = self.hidden(torch.cat([self.words(ids).mean(1), x], 1)).relu()
            return {"scores": self.out(hidden), "size": x.shape[0]}

    network = Reader().double().eval()
    network.hidden.weight.data[:3] = 0
    ids, x = torch.randint(9, (4, 5)), torch.randn(4, 2, dtype=torch.float64)
    assert find_groups(network, (ids, x)).hidden_channels == 8
    removal = remove_silent(network, (ids, x))
    assert removal.channels_left == {"hidden": 5}
    assert torch.allclose(removal.module(ids, x)["scores"], network(ids, x)["scores"], rtol=0, atol=1e-12)


# How code uses a linear layer, and how many of two constants that it reads can go, without a norm behind and with one.
USES = {
    "a call": (lambda layer, x: layer(x), 2, 2),
    "its weight and bias": (lambda layer, x: F.linear(x, layer.weight, layer.bias), 2, 2),
    "its weight alone": (lambda layer, x: F.linear(x, layer.weight), 1, 2),
    "a call, then its weight": (lambda layer, x: layer(x) + F.linear(x, layer.weight), 1, 1),
    "its weight, then a call": (lambda layer, x: F.linear(x, layer.weight) + layer(x), 1, 1),
    "a matrix product": (lambda layer, x: x @ layer.weight.t(), 1, 2),
    "another transpose": (lambda layer, x: torch.mm(x, layer.weight.mT), 1, 2),
    "a product plus its bias": (lambda layer, x: torch.addmm(layer.bias, x, layer.weight.t()), 2, 2),
    "a product times a number": (lambda layer, x: torch.addmm(layer.bias, x, layer.weight.t(), alpha=2), 0, 0),
    "its bias times a number": (lambda layer, x: torch.addmm(layer.bias, x, layer.weight.t(), beta=2), 0, 0),
    "its weight, not transposed": (lambda layer, x: x @ layer.weight, 0, 0),
}


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("normed", [False, True])
def test_constants_reach_a_layer_however_code_uses_it(name, normed):
    class Using(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.mid, self.last = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)
            self.norm = nn.BatchNorm1d(6) if normed else nn.Identity()

        def forward(self, x):
            return self.last(self.norm(USES[name][0](self.mid, self.first(x).sigmoid())).relu())

    network = Using().double().eval()
    network.first.weight.data[:2] = 0
    removal = check(network, *[(torch.randn(n, 3, dtype=torch.float64),) for n in (5, 1)])
    assert removal.channels_left["first"] == 6 - USES[name][1 + normed]


PICKS = {
    "an element": lambda weight: weight[0, 3],
    "an element, counted": lambda weight: weight.view(-1)[7],
    "an element of the transpose": lambda weight: weight.t()[3, 2],
    "one that stays a matrix": lambda weight: weight[2:3, 4:5],
    "an element of the diagonal": lambda weight: weight.diagonal()[4],
}


@pytest.mark.parametrize("name", PICKS)
def test_a_layer_of_whose_weight_code_takes_one_element_is_kept_whole(name):
    """Sliced, the weight has another value there; what meets it here hardly ever matters, so that no search sees it."""

    class Picking(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.mid, self.last = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            out = self.last(self.mid(self.first(x).relu()).relu())
            return out + (x.sum(1, keepdim=True) - 1e6).relu() * PICKS[name](self.mid.weight)

    network = Picking().double().eval()
    for layer in (network.first, network.mid):
        layer.weight.data[:2], layer.bias.data[:2] = 0, -1
    removal = check(network, *[(torch.randn(n, 3, dtype=torch.float64),) for n in (5, 1)])
    assert removal.channels_left == {"first": 6, "mid": 6}
    assert "the weight of mid is used outside its layer" in removal.kept_whole["mid"]

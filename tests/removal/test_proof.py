"""The search for a difference, on wrong reductions that agree with the silenced network on the example."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from benchmark.networks.build import build
from benchmark.removal.exact import RemovalError, remove_silent
from benchmark.removal.groups import find_groups
from benchmark.removal.probes import spread
from benchmark.removal.proof import Proof, attack

WIDTH, HIDDEN = 4, 3


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomise(module: nn.Module) -> nn.Module:
    """Weights that sum to sizeable outputs, in float64 and evaluation mode."""
    for i, parameter in enumerate(module.double().parameters()):
        parameter.data = noise(*parameter.shape, seed=i + 1) / parameter[0].numel() ** 0.5
    return module.eval()


def drop_first(module: nn.Module, writers: list[str], readers: list[str]) -> nn.Module:
    """A copy without the first channel of these layers, whatever that does to the outputs."""
    reduced = copy.deepcopy(module)
    for name in writers:
        layer = reduced.get_submodule(name)
        layer.weight.data, layer.bias.data = layer.weight.data[1:], layer.bias.data[1:]
    for name in readers:
        layer = reduced.get_submodule(name)
        layer.weight.data = layer.weight.data[:, 1:]
    return reduced


def attacked(silenced: nn.Module, reduced: nn.Module, example: Tensor) -> Proof:
    """The search's result, once the networks are seen to agree on the example."""
    with torch.no_grad():
        gap = (silenced(example) - reduced(example)).abs().max()
    assert gap <= 1e-12, "the reduction is wrong on the example already, so that no search is needed"
    return attack(silenced, reduced, (example,))


def fold(silenced: nn.Module, reduced: nn.Module, example: Tensor) -> nn.Module:
    """Takes what is missing on the example into the bias of the reduced network's last layer."""
    with torch.no_grad():
        gap = silenced(example) - reduced(example)
        list(reduced.modules())[-1].bias += gap[0]
    return reduced


@pytest.mark.parametrize("border", ["depthwise", "counting pool"])
def test_a_constant_folded_at_one_size_is_found_at_another(border):
    layer = nn.Conv2d(2, 2, 3, padding=1, groups=2) if border == "depthwise" else nn.AvgPool2d(3, 1, 1)
    silenced = randomise(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    )
    silenced[0].weight.data[0], silenced[0].bias.data[0] = 0, 1
    reduced = drop_first(silenced, ["0", "2"] if border == "depthwise" else ["0"], ["5"])
    if border == "depthwise":
        reduced[2].groups = 1
    example = noise(6, 1, 8, 8)
    proof = attacked(silenced, fold(silenced, reduced, example), example)
    assert proof.deviation > 1e-3
    assert proof.worst.startswith("size ")


class Scaled(nn.Module):
    """One layer times a scalar over the batch of another."""

    def __init__(self, scalar):
        super().__init__()
        self.b, self.a, self.scalar = nn.Linear(WIDTH, HIDDEN), nn.Linear(WIDTH, HIDDEN), scalar
        self.h = nn.Linear(HIDDEN, 2)

    def forward(self, x):
        return self.h(self.b(x) * self.scalar(self.a(x)))


@pytest.mark.parametrize("scalar", [Tensor.mean, Tensor.amax, lambda y: y.mean().item()])
def test_a_scalar_over_the_batch_is_no_constant(scalar):
    silenced = randomise(Scaled(scalar))
    silenced.b.weight.data[0] = 0
    reduced = drop_first(silenced, ["b"], ["h"])
    example = noise(6, WIDTH)
    assert attacked(silenced, fold(silenced, reduced, example), example).deviation > 1e-3


class Aliased(nn.Module):
    """Writes to a layer's output in place, or through a view of it."""

    def __init__(self, write):
        super().__init__()
        self.a, self.b, self.write = nn.Linear(WIDTH, HIDDEN), nn.Linear(WIDTH, HIDDEN), write
        self.h = nn.Linear(HIDDEN, 2)

    def forward(self, x):
        y = self.a(x)
        self.write(y, self.b(x))
        return self.h(y.relu_())


class Woken(nn.Module):
    """A layer whose hook or patched forward adds what a zero row does not hold."""

    def __init__(self, patched: bool, activation: nn.Module):
        super().__init__()
        self.a, self.activation, self.h = nn.Linear(WIDTH, HIDDEN), activation, nn.Linear(HIDDEN, 2)
        if patched:
            self.a.forward = lambda x: nn.functional.linear(x, self.a.weight, self.a.bias) + x.mean(-1, keepdim=True)
        else:
            self.a.register_forward_hook(lambda layer, inputs, output: output + inputs[0].mean(-1, keepdim=True))

    def forward(self, x):
        return self.h(self.activation(self.a(x)))


@pytest.mark.parametrize("write", [Tensor.add_, lambda y, z: y.view(-1).add_(z.reshape(-1)), lambda y, z: y[:].sub_(z)])
def test_a_unit_that_a_write_in_place_wakes_is_found(write):
    silenced = randomise(Aliased(write))
    silenced.a.weight.data[0], silenced.a.bias.data[0] = 0, -6
    assert attacked(silenced, drop_first(silenced, ["a", "b"], ["h"]), noise(6, WIDTH)).deviation > 1e-3


class Keyword(nn.Module):
    """An activation whose input is named, and a tensor that is made of named arguments alone."""

    def forward(self, x):
        return torch.relu(input=x) + torch.zeros(size=(1,), dtype=x.dtype)


ACTIVATIONS = [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardtanh(0, 9, inplace=True), Keyword()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("patched", [False, True])
def test_a_unit_that_a_hook_or_a_patched_forward_wakes_is_found(patched, activation):
    silenced = randomise(Woken(patched, activation))
    silenced.a.weight.data[0], silenced.a.bias.data[0] = 0, -6
    reduced = randomise(Woken(patched, activation))  # a copy would keep the patched forward of the silenced network
    for name in ("a", "h"):
        reduced.get_submodule(name).load_state_dict(silenced.get_submodule(name).state_dict())
    reduced.a.weight.data, reduced.a.bias.data = reduced.a.weight.data[1:], reduced.a.bias.data[1:]
    reduced.h.weight.data = reduced.h.weight.data[:, 1:]
    assert attacked(silenced, reduced, noise(6, WIDTH)).deviation > 1e-3


def test_a_unit_deep_in_a_convolutional_network_is_woken():
    """Far out of the example's reach, so that only steps towards it find it: 20 spreads of its input."""
    silenced = randomise(
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(36, 2),
        )
    )  # fmt: skip
    silenced[2].bias.data[0] = -8
    reduced = copy.deepcopy(silenced)
    reduced[2].weight.data[0], reduced[2].bias.data[0] = 0, 0
    proof = attacked(silenced, reduced, noise(6, 1, 8, 8))
    assert proof.deviation > 1e-3
    assert proof.worst == "ascent"
    assert proof.tried["ascent"] == 4 * 12


@pytest.mark.parametrize(("error", "reason"), [(ValueError("too long\nby one"), "too long"), (KeyError(), "KeyError")])
def test_a_reduction_that_does_not_run_at_another_size_is_refused(error, reason):
    class Fixed(nn.Sequential):
        def forward(self, x):
            if len(self[0].weight) == 1 and x.shape[-1] == 9:
                raise error
            return super().forward(x).mean(-1)

    silenced = randomise(Fixed(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Conv1d(2, 2, 3)))
    silenced[0].weight.data[0], silenced[0].bias.data[0] = 0, 0
    with pytest.raises(RemovalError, match=f"does not run on size 1×9: {reason}$"):
        attacked(silenced, drop_first(silenced, ["0"], ["2"]), noise(6, 1, 8))


class Pair(nn.Module):
    """Token ids and an image in, a dict out."""

    def __init__(self):
        super().__init__()
        self.embed, self.a, self.h = nn.Embedding(9, WIDTH), nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, 2)

    def forward(self, ids, image):
        hidden = (self.a(self.embed(ids).mean(1)) + image.mean((1, 2, 3))[:, None]).relu()
        return {"logits": self.h(hidden), "extra": (hidden.sum(1), len(ids))}


def test_token_ids_several_inputs_and_dicts_are_searched():
    silenced = randomise(Pair())
    silenced.a.weight.data[0], silenced.a.bias.data[0] = 0, -6
    example = (torch.arange(24).view(6, 4) % 9, noise(6, 1, 5, 5))
    proof = attack(silenced, drop_first(silenced, ["a"], ["h"]), example)
    assert proof.deviation > 1e-3
    assert {"single", "ascent", "size 4, 1×6×6", "size 5, 1×5×6"} <= set(proof.tried)
    proof = attack(silenced, copy.deepcopy(silenced), example)
    assert proof.deviation == 0


def test_noise_is_as_wide_as_the_example_or_of_width_one_where_that_does_not_vary():
    assert (spread(torch.tensor([1.0, 5.0])), spread(torch.tensor([3, 3]))) == (2.0, 1.0)


def test_an_exact_reduction_passes_and_says_what_was_tried():
    network = build("vgg11", (3, 32, 32), 10, seed=0, widths=(8, 8, 8, 8, 8, 8, 8, 8))
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for group in find_groups(network, images).groups:
        group.zero_incoming(torch.arange(group.size) % 2 == 0)
    removal = remove_silent(network, images)
    assert removal.deviation <= 1e-12
    assert {"example", "batch", "single", "scaled", "noise", "constant", "one-hot", "ascent"} <= set(removal.tried)
    assert {"size 3×37×37", "size 3×33×33", "size 3×64×64"} <= set(removal.tried)
    assert all(count > 0 for count in removal.tried.values())


@pytest.mark.parametrize(
    ("count", "size", "tried"),
    [
        (20, 8, {"example": 20, "batch": 16, "single": 2, "ascent": 32}),  # two steps: no gradient leads further
        (5, 2, {"example": 5, "single": 2, "ascent": 20}),
        (1, 1, {"example": 1, "single": 1, "ascent": 4}),
    ],
)
def test_the_search_tries_so_many_samples_of_each_kind(count, size, tried):
    network = randomise(nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(), nn.Conv1d(3, 2, 1)))
    proof = attack(network, copy.deepcopy(network), (noise(count, 1, 8),))
    values = dict.fromkeys(("scaled", "noise", "constant", "one-hot"), min(count, 16))
    batches = {f"batch of {samples}": samples for samples in (9, 33)}
    near = {f"size 1×{length}": size for length in (7, 9, 5, 13, 4, 16)}
    far = {f"size 1×{length}": 1 for length in (32, 128, 512)}
    assert proof.tried == {**tried, **batches, **values, **near, **far}


def test_the_search_changes_neither_network_nor_seed():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Conv2d(4, 2, 3))
    randomise(network)
    states = [copy.deepcopy(network.state_dict()) for _ in range(2)]
    reduced, seed = copy.deepcopy(network), torch.get_rng_state()
    first = attack(network, reduced, (noise(6, 1, 8, 8),))
    assert first == attack(network, reduced, (noise(6, 1, 8, 8),))
    assert torch.equal(torch.get_rng_state(), seed)
    for module, state in zip((network, reduced), states, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())

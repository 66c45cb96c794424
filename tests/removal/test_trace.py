"""What is followed through a network, and what pins channels instead of being guessed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import check_removable, find_groups
from benchmark.removal.labels import UntraceableError
from benchmark.removal.trace import trace


class Wrapped(nn.Module):
    """A first layer, an operation on its output, and a last layer."""

    def __init__(self, operation, first: nn.Module, last: nn.Module):
        super().__init__()
        self.operation, self.first, self.last = operation, first, last

    def forward(self, x):
        return self.last(self.operation(self, self.first(x)))


def fail(*_):
    raise KeyError


def conv(operation, positions: int = 16) -> nn.Module:
    return Wrapped(operation, nn.Conv2d(1, 4, 3), nn.Linear(4 * positions, 2))


IMAGES = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def shuffle(_, x):
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w).flatten(1)


FOLLOWED = {
    "flatten": (lambda _, x: x.flatten(1), 16),
    "torch.flatten": (lambda _, x: torch.flatten(x, 1), 16),
    "view to -1": (lambda _, x: x.view(x.size(0), -1), 16),
    "view to its own product": (lambda _, x: x.view(-1, x.shape[1] * x.shape[2] * x.shape[3]), 16),
    "functional": (lambda _, x: F.adaptive_avg_pool2d(F.relu(x), 1).flatten(1), 1),
    "mean": (lambda _, x: x.mean(dim=(-1, -2)), 1),
    "means": (lambda _, x: x.mean(-1).mean(-1), 1),
    "scalar": (lambda _, x: (2 * x + 1).flatten(1), 16),
    "twice": (lambda _, x: (x * x).flatten(1), 16),
    "permuted and back": (lambda _, x: x.permute(0, 2, 3, 1).transpose(1, 3).transpose(2, 3).flatten(1), 16),
}
PINNED = {
    "a fixed view": (lambda _, x: x.view(-1, 64), 16, "view depends on how many there are"),
    "a fixed reshape": (lambda _, x: torch.reshape(x, (-1, 64)), 16, "reshape depends on how many there are"),
    "parts": (lambda _, x: torch.cat(x.split(2, 1)[::-1], 1).flatten(1), 16, "split depends on how many there are"),
    "uneven parts": (lambda _, x: torch.cat(x.chunk(3, 1)[::-1], 1).flatten(1), 16, "into uneven parts"),
    "an index": (lambda _, x: x[:, [1, 0, 3, 2]].flatten(1), 16, "index depends on how many there are"),
    "a softmax": (lambda _, x: x.softmax(1).flatten(1), 16, "softmax mixes them"),
    "a sort": (lambda _, x: x.sort(1).values.flatten(1), 16, "sort has no rule"),
    "a width as a number": (lambda _, x: (x * x.shape[1]).flatten(1), 16, "mul depends on how many there are"),
    "a bare pooling": (lambda _, x: F.max_pool2d(x.flatten(2), 2).flatten(1), 4, "max_pool2d has no rule"),
    "a weight elsewhere": (lambda n, x: x.flatten(1) + n.first.weight.sum(), 16, "the weight of first is used outside"),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_followed_operations_let_channels_go(name):
    operation, positions = FOLLOWED[name]
    network = conv(operation, positions).double()
    network.first.weight.data[1] = 0
    removal = remove_silent(network, IMAGES)
    assert removal.channels_left == {"first": 3}
    assert removal.deviation <= 1e-12


@pytest.mark.parametrize("name", PINNED)
def test_other_operations_pin_channels_and_say_why(name):
    operation, positions, reason = PINNED[name]
    network = conv(operation, positions).double()
    network.first.weight.data[1], network.first.bias.data[1] = 0, 0
    removal = remove_silent(network, IMAGES)
    assert removal.channels_left == {"first": 4}
    assert reason in removal.kept_whole["first"]
    with pytest.raises(UntraceableError, match="no channel of Wrapped can be removed exactly: first is kept whole"):
        check_removable(find_groups(network, IMAGES.double()))


def parametrised(kind: str) -> nn.Module:
    layer = nn.Conv2d(1, 4, 3)
    if kind == "weight_norm":
        return nn.utils.parametrizations.weight_norm(layer)
    if kind == "mask":
        return prune.identity(layer, "weight")
    return layer


@pytest.mark.parametrize("kind", ["weight_norm", "mask"])
def test_a_computed_weight_is_left_alone(kind):
    network = Wrapped(lambda _, x: x.flatten(1), parametrised(kind), nn.Linear(64, 2))
    assert "first" not in trace(network, IMAGES).layers


def test_layers_that_share_a_weight_are_left_whole():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    network[2].weight = network[0].weight
    assert find_groups(network, torch.randn(3, 4)).kept_whole == {
        "0": "2 shares its weight with 0",
        "2": "2 shares its weight with 0",
    }


def test_a_layer_that_reads_channels_at_one_call_and_positions_at_another_keeps_both():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.shared, self.out = (nn.Linear(4, width) for width in (4, 4, 4, 2))

        def forward(self, x):
            y = self.b(x).unsqueeze(-1).expand(-1, -1, 4)
            return self.out(self.shared(self.a(x)) + self.shared(y).mean(1))

    reason = "shared reads them along another axis"
    kept = find_groups(Both(), torch.randn(3, 4)).kept_whole
    assert {name: kept[name] for name in ("a", "b")} == {"a": reason, "b": reason}


def test_a_channel_that_meets_random_numbers_says_so():
    network = Wrapped(lambda _, x: x + torch.rand(len(x), 1), nn.Linear(3, 1), nn.Linear(1, 2))
    assert find_groups(network, torch.randn(4, 3)).kept_whole == {"first": "random numbers"}


@pytest.mark.parametrize(
    "pad", [lambda x: F.pad(x, (1, 1), mode="reflect"), lambda x: torch.ops.aten.reflection_pad1d(x, (1, 1))]
)
def test_a_border_beside_channels_keeps_them(pad):
    network = Wrapped(lambda _, x: pad(x), nn.Linear(3, 4), nn.Linear(6, 2))
    assert "has no rule" in find_groups(network, torch.randn(4, 3)).kept_whole["first"]


@pytest.mark.parametrize(
    "norm",
    [
        lambda n, x: F.batch_norm(x, n.mean, n.variance, training=True),
        lambda n, x: F.instance_norm(x, n.mean, n.variance, use_input_stats=True),
    ],
)
def test_a_norm_that_goes_on_counting_in_evaluation_mode_is_refused(norm):
    network = Wrapped(norm, nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1))
    network.register_buffer("mean", torch.zeros(4))
    network.register_buffer("variance", torch.ones(4))
    with pytest.raises(UntraceableError, match="changes the running statistics of a norm in evaluation mode"):
        trace(network, IMAGES)


@pytest.mark.parametrize("random", [F.dropout, F.dropout1d, F.alpha_dropout, F.feature_alpha_dropout, F.rrelu])
def test_random_activations_keep_channels_and_their_means_do_not(random):
    network = Wrapped(lambda n, x: random(x, training=n.noisy), nn.Conv1d(1, 4, 3), nn.Conv1d(4, 2, 1))
    signals = torch.randn(3, 1, 9)
    network.noisy = True
    assert "has no rule" in find_groups(network, signals).kept_whole["first"]
    network.noisy = False
    assert find_groups(network, signals).kept_whole == {}


def test_a_softmax_at_the_end_makes_no_hidden_group():
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2), nn.LogSoftmax(1))
    net = find_groups(network, torch.randn(3, 4))
    assert [group.name for group in net.groups] == ["0"]
    assert net.kept_whole == {}


def test_tracing_changes_neither_modes_nor_statistics_nor_seed():
    class Dropped(nn.Sequential):
        def forward(self, x):
            return super().forward(F.dropout(x))

    network = Dropped(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    network[1].eval()
    state, seed = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    trace(network, IMAGES)
    assert [m.training for m in network] == [True, False, True, True]
    assert network.training
    assert torch.equal(torch.get_rng_state(), seed)
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda _, x: x.flatten(1) if x.sum() > 0 else -x.flatten(1), "Wrapped cannot be traced on samples of shape"),
        (lambda _, x: x.flatten(2), "Wrapped cannot be traced .*shapes cannot be multiplied"),
        (fail, r"Wrapped cannot be traced on samples of shape \(1, 6, 6\): KeyError$"),
    ],
)
def test_an_untraceable_network_is_one_clear_line_and_keeps_its_mode(operation, message):
    network = conv(operation)
    with pytest.raises(UntraceableError, match=message) as error:
        trace(network, IMAGES)
    assert "\n" not in str(error.value)
    assert network.training


def test_a_network_that_returns_numbers_only_is_refused():
    class Counting(nn.Linear):
        def forward(self, x):
            return [len(super().forward(x))]

    with pytest.raises(UntraceableError, match="returns a list without a tensor"):
        trace(Counting(3, 2), torch.randn(2, 3))


def test_a_network_without_hidden_layers_is_refused():
    with pytest.raises(UntraceableError, match="no hidden linear or convolutional layer"):
        check_removable(find_groups(nn.Linear(3, 2), torch.randn(2, 3)))


def test_parameters_in_one_piece_of_memory_are_told_apart():
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2))
    flat = nn.utils.parameters_to_vector(network.parameters()).detach()
    nn.utils.vector_to_parameters(flat, network.parameters())
    assert network[0].weight.untyped_storage().data_ptr() == network[2].weight.untyped_storage().data_ptr()
    network[2].weight.data[1] = 0
    assert remove_silent(network, torch.randn(3, 4)).channels_left == {"0": 5, "2": 2}


@pytest.mark.parametrize(
    "wrap", [nn.Parameter, lambda x: torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x))]
)
def test_a_tensor_that_no_operation_made_of_another_is_known_by_its_memory(wrap):
    network = Wrapped(
        lambda net, x: x * wrap(net.other(IMAGES.double())).mean(), nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1)
    )
    network.other = nn.Conv2d(1, 3, 1)
    followed = find_groups(network.double(), IMAGES.double())
    assert followed.kept_whole == {"other": "its values are written to, or read, under another name"}

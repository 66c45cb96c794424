"""Single features: removed one by one, exactly, and never counted among the channels."""

import pytest
import torch
from torch import nn

from benchmark.networks.build import build
from benchmark.networks.export import export, load
from benchmark.networks.features import INPUTS, drop_unread, feature_groups
from benchmark.networks.measure import parameters
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups
from benchmark.removal.proof import RemovalError

IMAGES = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))
LENET5 = {"network": "lenet5", "shape": (1, 28, 28), "classes": 10, "seed": 0, "norm": "none", "features": True}
MLP = {**LENET5, "network": "mlp", "widths": (20, 12)}


def reduced(network, unread, silent=()):
    """A network whose features `unread`, and channels of its first group, have no weights; and that without them."""
    (group,) = feature_groups(network)
    factors = torch.ones(group.size)
    factors[list(unread)] = 0
    group.scale_outgoing(factors)
    first = find_groups(network, IMAGES).groups[0]
    doomed = torch.zeros(first.size, dtype=torch.bool)
    doomed[list(silent)] = True
    first.silence(doomed)
    removal = remove_silent(network, IMAGES)
    return removal, drop_unread(removal.module, IMAGES)


@pytest.mark.parametrize("arguments", [MLP, LENET5], ids=["mlp", "lenet5"])
def test_a_network_with_single_features_is_the_network_without_that_option(arguments):
    one, other = build(**arguments), build(**{**arguments, "features": False})
    assert torch.equal(one(IMAGES), other(IMAGES))
    groups = [[(g.name, g.size) for g in find_groups(network, IMAGES).groups] for network in (one, other)]
    assert groups[0] == groups[1]
    assert one.state_dict().keys() == other.state_dict().keys()


def test_the_first_dense_layer_of_an_mlp_reads_inputs_and_that_of_a_convolutional_network_does_not():
    assert [(g.name, g.fan_out.tolist(), g.writers) for g in feature_groups(build(**MLP))] == [(INPUTS, [20] * 784, ())]
    assert [(g.name, g.fan_out.tolist()) for g in feature_groups(build(**LENET5))] == [("6", [500] * 800)]


@pytest.mark.parametrize("arguments", [MLP, LENET5], ids=["mlp", "lenet5"])
def test_unread_features_go_and_nothing_changes(arguments):
    network = build(**arguments)
    (whole,) = feature_groups(network)
    unread = {0, 3, *range(100, 112), whole.size - 1}
    before = parameters(network)
    removal, left = reduced(network, unread)
    network.eval()
    torch.testing.assert_close(removal.module.eval()(IMAGES), network(IMAGES), rtol=1e-5, atol=1e-6)
    assert left == whole.size - len(unread)
    assert parameters(removal.module) == before - whole.fan_out[list(unread)].sum()
    assert removal.channels == removal.channels_left  # features are no channels
    other = torch.rand(7, 1, 28, 28)
    torch.testing.assert_close(removal.module(other), network(other), rtol=1e-5, atol=1e-6)


def test_features_of_removed_channels_go_with_them_and_the_others_keep_their_places():
    network = build(**{**LENET5, "widths": (4, 6, 10)})
    groups = find_groups(network, IMAGES).groups
    groups[1].silence(torch.arange(6) == 2)
    removal, left = reduced(network, {0, 17, 95})
    assert (removal.channels_left["3"], left) == (5, 80 - 3)
    network.eval()
    torch.testing.assert_close(removal.module.eval()(IMAGES), network(IMAGES), rtol=1e-5, atol=1e-6)


def test_a_channel_none_of_whose_features_is_read_goes():
    network = build(**LENET5)
    removal, left = reduced(network, range(16, 48))
    assert (removal.channels_left["3"], left) == (48, 768)
    network.eval()
    torch.testing.assert_close(removal.module.eval()(IMAGES), network(IMAGES), rtol=1e-5, atol=1e-6)


def test_one_feature_stays_where_none_is_read():
    removal, left = reduced(build(**MLP), range(784))
    assert left == 1
    assert removal.module(IMAGES).shape == (16, 10)


def test_what_is_dropped_twice_is_dropped_from_what_was_left():
    network = build(**MLP)
    removal, left = reduced(network, range(50))
    layer = removal.module[1]
    layer.weight.data[:, :10] = 0
    expected = removal.module(IMAGES)
    assert drop_unread(removal.module, IMAGES) == left - 10
    torch.testing.assert_close(removal.module(IMAGES), expected, rtol=1e-5, atol=1e-6)
    assert removal.module[0].places.tolist() == list(range(60, 784))


def test_a_network_that_would_change_is_refused():
    network = build(**MLP)
    network[1].weight.data[:, :5] = 0
    network[1].register_forward_hook(lambda layer, _, output: output * layer.in_features)
    with pytest.raises(RemovalError, match="without its unread features deviates by"):
        drop_unread(network, IMAGES)


def test_a_network_without_such_a_layer_is_refused():
    with pytest.raises(ValueError, match="single features are for mlp, lenet300, lenet5, not vgg11"):
        build("vgg11", (3, 32, 32), 10, seed=0, features=True)
    with pytest.raises(ValueError, match="Linear has no dense layer behind a flattening"):
        feature_groups(nn.Linear(2, 3))


@pytest.mark.parametrize("arguments", [MLP, LENET5], ids=["mlp", "lenet5"])
def test_a_reduced_network_can_be_taken_home(arguments, tmp_path):
    network = build(**arguments)
    removal, left = reduced(network, range(30, 90), silent=[1])
    module = removal.module.eval()
    export(module, tmp_path / "net", "state_dict", IMAGES, network=arguments)
    loaded = load(tmp_path / "net")
    torch.testing.assert_close(loaded(IMAGES), module(IMAGES))
    (group,) = feature_groups(loaded)
    assert group.size == left

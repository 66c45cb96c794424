import pytest
import torch

from benchmark.data.load import load
from benchmark.networks.build import build
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups
from benchmark.runner.outcome import Outcome, measure_reduced, measure_trained


@pytest.fixture
def data():
    return load("simulated", 0.2, 0.2, 0)


@pytest.fixture
def net(data):
    """16 inputs, 8 hidden channels whose incoming weights have the norms 3, 0.3, 0.03 and so on, 4 classes."""
    module = build("mlp", data.shape, data.classes, seed=0, widths=(8,), norm="none")
    with torch.no_grad():
        module.get_parameter("1.weight").zero_()[:, 0] = torch.tensor([3 * 10.0**-k for k in range(8)])
    return find_groups(module, data.pixels(data.validation.images[:8]))


def test_the_sweep_counts_the_share_of_channels_below_each_threshold(net, data):
    found = measure_trained(net, data)
    shares = {f"1e-{power:02}": (7 - power) / 8 for power in range(1, 8)} | {"1e+00": 7 / 8}
    assert found.threshold_sweep == dict.fromkeys(found.threshold_sweep, 0.0) | shares
    assert len(found.threshold_sweep) == 17
    assert sum(found.norm_histogram.values()) == 8
    assert 0 <= found.never_active <= 1


def test_a_norm_that_equals_a_threshold_is_not_below_it(net, data):
    net.module.get_parameter("1.weight").data[0, 0] = 1
    assert measure_trained(net, data).threshold_sweep["1e+00"] == 7 / 8


def test_the_reduced_network_is_measured_beside_the_silenced_one(net, data):
    net.groups[0].silence(torch.arange(8) < 6)
    example = data.pixels(data.validation.images[:8])
    removal = remove_silent(net.module, example)
    found = measure_reduced(net.module, removal, data, example)
    assert (found.channels, found.channels_left, found.channel_sparsity) == (8, {"1": 2}, 0.75)
    assert (found.params_dense, found.params) == (16 * 8 + 8 + 8 * 4 + 4, 16 * 2 + 2 + 2 * 4 + 4)
    assert found.param_sparsity == pytest.approx(1 - found.params / found.params_dense)
    assert (found.macs_dense, found.macs, found.mac_sparsity) == (16 * 8 + 8 * 4, 16 * 2 + 2 * 4, 0.75)
    kept = 2 + 2 * 4  # of the first layer's weights the fixture left one a channel
    assert found.weight_sparsity == pytest.approx(1 - kept / (16 * 8 + 8 * 4))
    assert found.removal_error == removal.deviation <= 1e-9
    assert found.kept_whole == {}
    with torch.no_grad():
        for split, accuracy in ((data.validation, found.val_accuracy), (data.test, found.test_accuracy)):
            right = net.module(data.pixels(split.images)).argmax(1) == split.labels
            assert accuracy == right.double().mean().item()


def test_an_outcome_that_has_reached_nothing_gives_no_numbers():
    fields = Outcome().fields()
    assert fields == {
        "history": {"loss": [], "val_accuracy": [], "silent": []},
        "train_seconds": 0.0,
        "stage_accuracy": {},
        "threshold_accuracy": {},
        "threshold": None,
        "best_test_accuracy": None,
    }

"""Parameters, multiply-accumulates, latency and memory, against other counts of the same."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmark.networks import measure
from benchmark.networks.build import build
from benchmark.networks.latency import latencies, peak_activation_memory


def products(module, image):
    """Multiply-accumulates by the layers' shapes: what a weight holds, times the positions that it is used at."""
    found = []

    def count(layer, _, output):
        positions = output[0, ..., 0].numel() if isinstance(layer, nn.Linear) else output[0, 0].numel()
        found.append(positions * layer.weight.numel())

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    measure.logits(module, image)
    for hook in hooks:
        hook.remove()
    return sum(found)


@pytest.mark.parametrize(
    "network", ["mlp", "vgg16", "resnet20", "torchvision:mobilenet_v2", "torchvision:resnext50_32x4d"]
)
def test_macs_are_those_of_the_layers_shapes(network):
    module, image = build(network, (3, 32, 32), 10, seed=0), torch.randn(1, 3, 32, 32)
    assert measure.macs(module, image) == products(module, image) > 0


def test_macs_of_transposed_convolutions_and_of_attention_count():
    assert measure.macs(nn.ConvTranspose2d(4, 6, 3, stride=2), torch.randn(1, 4, 8, 8)) == 8 * 8 * 4 * 6 * 9
    layer = nn.TransformerEncoderLayer(16, 2, dim_feedforward=32, batch_first=True)
    steps, projections, scores = 5, 4 * 16 * 16, 2 * 5 * 16
    before = torch.backends.mha.get_fastpath_enabled()
    assert measure.macs(layer, torch.randn(2, steps, 16)) == steps * (projections + scores + 2 * 16 * 32)
    assert torch.backends.mha.get_fastpath_enabled() == before


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_macs_of_recurrent_layers_count_on_every_step(kind, gates):
    class Last(kind):
        def forward(self, x):
            return super().forward(x)[0][:, -1]

    before, steps = (torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled), 4
    assert measure.macs(Last(5, 7, batch_first=True), torch.randn(3, steps, 5)) == steps * gates * 7 * (5 + 7)
    assert (torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled) == before


def test_macs_of_a_linear_layer_count_its_positions():
    assert measure.macs(nn.Linear(3, 5), torch.randn(2, 7, 3)) == 7 * 3 * 5


@pytest.mark.parametrize("count", [1, measure.EVALUATION_BATCH - 1, measure.EVALUATION_BATCH + 1])
def test_accuracy_is_the_share_of_correct_samples_whatever_their_number(count):
    images, labels = torch.eye(3)[torch.arange(count) % 3], torch.zeros(count, dtype=torch.long)
    assert measure.accuracy(nn.Identity(), images, labels) == len(range(0, count, 3)) / count


def test_a_sample_with_an_output_that_is_no_number_is_not_classified():
    outputs = torch.tensor([[math.nan, 0.0], [math.nan, math.nan], [1.0, math.nan], [math.inf, 0.0], [1.0, 1.0]])
    assert measure.accuracy(nn.Identity(), outputs, torch.zeros(5, dtype=torch.long)) == 2 / 5


def test_a_weight_that_layers_share_is_counted_once():
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    module[2].weight = module[0].weight
    with torch.no_grad():
        module[0].weight[0] = 0
    assert measure.zero_weights(module) == (4, 16 + 8)
    assert measure.parameters(module) == 16 + 8 + 4 + 4 + 2


def test_measuring_changes_neither_mode_nor_statistics_nor_seed():
    module = build("lenet5", (1, 28, 28), 10, seed=0)
    module[1].eval()
    modes, state = [m.training for m in module.modules()], {k: v.clone() for k, v in module.state_dict().items()}
    images, seed = torch.randn(4, 1, 28, 28), torch.get_rng_state()
    measure.macs(module, images)
    measure.accuracy(module, images, torch.zeros(4, dtype=torch.long))
    peak_activation_memory(module, images)
    latencies(module, (1, 28, 28), seconds=0.01)
    assert [m.training for m in module.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), seed)


def test_latency_is_measured_at_both_batches():
    found = latencies(build("mlp", (1, 8, 8), 10, seed=0), (1, 8, 8), seconds=0.02)
    assert {key.split(",")[0] for key in found} == {"batch 1", "batch 64"}
    assert all(value > 0 for value in found.values())


def test_peak_memory_is_the_input_and_the_two_tensors_of_the_widest_step():
    module = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 3))
    assert peak_activation_memory(module, torch.randn(4, 10)) == 4 * 4 * (10 + 100 + 100)


def test_a_channel_is_never_active_where_its_preactivation_is_positive_nowhere():
    module = build("lenet5", (1, 28, 28), 10, seed=0)
    with torch.no_grad():
        module[1].weight[:5] = 0
        module[1].bias[:5] = -1
        module[1].weight[5], module[1].bias[5] = 0, 1
        for norm in (module[5], module[10]):
            norm.weight.fill_(0)
            norm.bias.fill_(1)
        module[10].bias[:10] = 0
    images = torch.randn(measure.EVALUATION_BATCH + 3, 1, 28, 28)
    before = measure.never_active(module, images.split(measure.EVALUATION_BATCH))
    with torch.no_grad():
        module[1].weight[5], module[1].bias[5] = 0, -1
    assert before == pytest.approx(15 / 570)
    assert measure.never_active(module, images.split(measure.EVALUATION_BATCH)) == pytest.approx(16 / 570)
    assert measure.never_active(nn.Linear(3, 3), [torch.randn(2, 3)]) is None


def test_one_activation_in_the_last_batch_makes_a_channel_active():
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    images = -torch.ones(measure.EVALUATION_BATCH + 1, 1)
    module[0].weight.data.fill_(1)
    assert measure.never_active(module, images.split(measure.EVALUATION_BATCH)) == 1
    images[-1] = 1
    assert measure.never_active(module, images.split(measure.EVALUATION_BATCH)) == 0


def test_the_norm_histogram_has_a_bin_for_each_quarter_decade():
    norms = torch.tensor([0.0, 0.0, 3e-40, 0.9999, 1.0, 1.7, 1.8, 2e-15, 11.0])
    assert measure.norm_histogram(norms) == {
        "-inf": 2, "-39.75": 1, "-14.75": 1, "-0.25": 1, "0.00": 2, "0.25": 1, "1.00": 1,
    }  # fmt: skip

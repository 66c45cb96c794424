"""The control from scratch: the reduced width, its shapes and its initial weights."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from baselines import (
    scratch,
)
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups
from tests.methods.test_methods import IMAGES, LABELS, Residual, build, make


@pytest.mark.parametrize(("shape", "widths"), [({"ratio": 0.5}, (4, 3)), ({"ratio": 0.6, "left": "3-2"}, (3, 2))])
def test_scratch_trains_a_network_of_the_reduced_width(shape, widths):
    net, method = build(Residual), make(scratch.Scratch, **shape, learning_rate=0.05)
    method.prepare(net, 10)
    reduced = remove_silent(net.module, IMAGES).module
    assert (reduced.stem.weight.shape[0], reduced.inner.weight.shape[0]) == widths
    optimizer = method.configure_optimizer(net)
    narrow = method.build_optimizer(reduced.parameters(), weight_decay=method.strength)
    for _ in range(10):
        for module, steps in ((net.module, optimizer), (reduced, narrow)):
            steps.zero_grad()
            cross_entropy(module(IMAGES), LABELS).backward()
            steps.step()
        method.after_step(net, 0.05)
    with torch.no_grad():
        torch.testing.assert_close(net.module(IMAGES), reduced(IMAGES), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("sizes", [[8, 6], [1000], [7, 100, 31]])
def test_scratch_leaves_of_every_group_what_the_ratio_spares_or_what_it_is_told(sizes):
    for percent in (0, 29, 50, 96, 100):
        left = [size - percent * size // 100 for size in sizes]
        assert make(scratch.Scratch, ratio=percent / 100).shape(sizes) == left
    told = [1, *sizes[1:]]
    assert make(scratch.Scratch, left="-".join(map(str, told))).shape(sizes) == told


def test_scratch_starts_what_reads_a_narrowed_layer_at_the_size_of_its_own_fan_in():
    layers = nn.Sequential(nn.Flatten(), nn.Linear(72, 4000), nn.ReLU(), nn.Linear(4000, 5))
    net = find_groups(layers, IMAGES.float())
    make(scratch.Scratch, left="40").prepare(net, 1)
    largest = layers[3].weight.abs().max().item()
    assert 0.9 * 40**-0.5 < largest <= 40**-0.5


@pytest.mark.parametrize("left", ["8", "8-6-1", "0-6", "8-7", "9-6"])
def test_scratch_refuses_a_shape_that_does_not_fit_in_one_line(left):
    words = rf"^left = '{left}' does not fit groups of 8-6: from 1 to all of each group's channels$"
    with pytest.raises(ValueError, match=words):
        make(scratch.Scratch, left=left).prepare(build(Residual), 1)

"""What the suite costs a convnet: an epoch of seven convolutions at batch 64, channels last in memory.

Run with `pytest tests/performance/test_convnet_epoch.py --benchmark-only`. `suite` is the suite's own loop over bytes;
`bare` takes the same steps, validation included, over float32 tensors that were standardised and ordered before. The
aim is at most 1.05 × bare. One thread, 3,200 colour images of 32 × 32; on a busy machine add
`--benchmark-timer=time.process_time`.
"""

import pytest
import torch
from torch import nn

from baselines.dense import Dense
from benchmark.data.dataset import Dataset, Split
from benchmark.experiment.trial import Protocol
from benchmark.networks.build import build
from benchmark.networks.measure import accuracy
from benchmark.removal.groups import find_groups
from benchmark.runner.train import Course, train

PROTOCOL = Protocol(epochs=1, channels_last=True)
WIDTHS = (16, 32, 32, 64, 64, 128, 128)


@pytest.fixture(scope="module")
def data():
    pool = torch.randint(0, 256, (4_800, 3, 32, 32), dtype=torch.uint8)
    rows = torch.randperm(len(pool)).split([3_200, 800, 800])
    splits = (Split(pool, own % 10, own) for own in rows)
    moments = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.3)
    return Dataset("made", 10, 255.0, *splits, *moments).channels_last()


def network(data):
    module = build("basicnet", data.shape, 10, seed=0, widths=WIDTHS).to(memory_format=torch.channels_last)
    return find_groups(module, data.pixels(data.test.images[:2]))


def dense():
    return Dense(torch.Generator(), optimizer="adam", learning_rate=1e-3)


def suite(data):
    net = network(data)
    return lambda: train(Course(net, data, PROTOCOL, seed=0), dense(), range(1))


def bare(data):
    net = network(data)
    module, optimizer = net.module, dense().configure_optimizer(net)
    images, labels = data.pixels(data.train.images).movedim(1, -1).contiguous(), data.train.labels
    validation = data.pixels(data.validation.images)

    def epoch():
        module.train()
        for part in torch.randperm(len(labels)).split(PROTOCOL.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(images[part].movedim(-1, 1)), labels[part]).backward()
            optimizer.step()
        accuracy(module, validation, data.validation.labels)

    return epoch


@pytest.mark.parametrize("loop", [suite, bare])
def test_epoch(benchmark, data, loop):
    benchmark.group = "an epoch of a convnet"
    benchmark.pedantic(loop(data), rounds=7, warmup_rounds=1)

"""What the data path costs: an epoch of 784–1000–10 at batch 64. Run with: pytest tests/performance --benchmark-only

`suite` is the suite's own loop over the mapped file; `bare` takes the same steps, validation included, with batches
gathered from float32 tensors in memory; `loader` reads the same images through torchvision's MNIST, ToTensor and a
DataLoader. The aims are at most 1.05 × bare and a third of loader. One thread, 12,800 training images.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils import data as torch_data

from baselines.dense import Dense
from benchmark.data.dataset import Dataset, Split
from benchmark.data.load import load
from benchmark.experiment.trial import Protocol
from benchmark.networks.build import build
from benchmark.networks.measure import accuracy
from benchmark.removal.groups import find_groups
from benchmark.runner.train import Course, train
from benchmark.torchvision_import import import_torchvision
from tests.support.made_data import make_mnist

PROTOCOL = Protocol(epochs=1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    make_mnist(root, train=16_000, test=1_000)
    shares = PROTOCOL.validation_share, PROTOCOL.test_share
    return load.__wrapped__("mnist", *shares, PROTOCOL.split_seed, root), root


def network(data):
    return find_groups(build("mlp", data.shape, 10, seed=0, widths=(1000,)), data.pixels(data.test.images[:2]))


def dense():
    return Dense(torch.Generator(), optimizer="adam", learning_rate=1e-3)


def suite_epoch(data):
    net = network(data)
    return lambda: train(Course(net, data, PROTOCOL, seed=0), dense(), range(1))


def bare_epoch(data, batches):
    """A loop over batches as a script would have it."""
    net = network(data)
    module, optimizer = net.module, dense().configure_optimizer(net)
    validation = data.pixels(data.validation.images)

    def epoch():
        module.train()
        for images, labels in batches():
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(images), labels).backward()
            optimizer.step()
        accuracy(module, validation, data.validation.labels)

    return epoch


def in_memory(data):
    images, labels = data.pixels(data.train.images), data.train.labels
    return lambda: ((images[part], labels[part]) for part in torch.randperm(len(labels)).split(PROTOCOL.batch_size))


def loader(data, root):
    import_torchvision()
    from torchvision import datasets, transforms

    pictures = datasets.MNIST(root, transform=transforms.ToTensor())
    made = torch_data.DataLoader(
        torch_data.Subset(pictures, data.train.rows.tolist()), PROTOCOL.batch_size, shuffle=True
    )
    return lambda: iter(made)


def path_of(name, data, root):
    """An epoch's batches by one of the three ways."""
    if name == "suite":
        return lambda: data.batches(PROTOCOL.batch_size, 0, 0)
    return in_memory(data) if name == "bare" else loader(data, root)


@pytest.mark.parametrize("path", ["suite", "bare", "loader"])
def test_epoch(benchmark, made, path):
    data, root = made
    epoch = suite_epoch(data) if path == "suite" else bare_epoch(data, path_of(path, data, root))
    benchmark.group = "an epoch of training"
    benchmark.pedantic(epoch, rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("path", ["suite", "bare", "loader"])
def test_epoch_of_batches_alone(benchmark, made, path):
    batches = path_of(path, *made)
    benchmark.group = "an epoch's batches, without training"
    benchmark.pedantic(lambda: sum(len(labels) for _, labels in batches()), rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("augmentation", [None, "crop-flip"])
def test_augmentation(benchmark, augmentation):
    images = torch.randint(0, 256, (12_800, 3, 32, 32), dtype=torch.uint8)
    split = Split(images, torch.zeros(12_800, dtype=torch.int64))
    data = replace(Dataset("made", 10, 255.0, split, split, split), augmentation=augmentation)
    benchmark.group = "batches of 128 colour images, 32 × 32"
    benchmark.pedantic(lambda: sum(len(labels) for _, labels in data.batches(128, 0, 0)), rounds=5, warmup_rounds=1)

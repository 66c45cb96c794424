"""What the data path costs: an epoch of 784–1000–10 at batch 64. Run with: pytest tests/performance --benchmark-only

`suite` is the suite's own training over the mapped file; `bare` takes the same steps, validation included, with batches
gathered from float32 tensors in memory; `loader` reads the same pixels as PIL images through a DataLoader with
torchvision's to_tensor. The aims are at most 1.05 × bare and a third of loader. One thread, 12,800 training images.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils import data as torch_data

from baselines.dense import Dense
from benchmark import models
from benchmark.data import Dataset, Split, load
from benchmark.groups import find_groups
from benchmark.measure import accuracy
from benchmark.spec import Protocol
from benchmark.train import History, train
from benchmark.vision import import_torchvision
from tests.made_data import make_mnist

PROTOCOL = Protocol(epochs=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    make_mnist(root, train=16_000, test=1_000)
    return load.__wrapped__("mnist", PROTOCOL.validation_share, PROTOCOL.test_share, PROTOCOL.split_seed, root)


def network(data):
    return find_groups(models.build("mlp", data.shape, 10, seed=0, widths=(1000,)), data.pixels(data.test.images[:2]))


def suite_epoch(data):
    net, method = network(data), Dense(torch.Generator(), optimizer="adam", learning_rate=1e-3)
    return lambda: train(net, method, data, PROTOCOL, 0, range(1), History())


def bare_epoch(data, batches):
    """A loop over batches as a script would have it."""
    module = network(data).module
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
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


def loader(data):
    import_torchvision()
    from torchvision.transforms.functional import to_pil_image, to_tensor

    class Pictures(torch_data.Dataset):
        """As torchvision's own: every access makes a PIL image of an array."""

        def __len__(self):
            return len(data.train.labels)

        def __getitem__(self, index):
            return to_tensor(to_pil_image(images[index])), labels[index]

    images, labels = data.train.images, data.train.labels.tolist()
    made = torch_data.DataLoader(Pictures(), PROTOCOL.batch_size, shuffle=True)
    return lambda: iter(made)


@pytest.mark.parametrize("path", ["suite", "bare", "loader"])
def test_epoch(benchmark, data, path):
    epoch = (
        suite_epoch(data) if path == "suite" else bare_epoch(data, {"bare": in_memory, "loader": loader}[path](data))
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        benchmark.pedantic(epoch, rounds=5, warmup_rounds=1)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("augmentation", [None, "crop-flip"])
def test_batches_alone(benchmark, augmentation):
    """An epoch's batches of 6,400 colour images of 32 × 32, without any training."""
    images = torch.randint(0, 256, (6_400, 3, 32, 32), dtype=torch.uint8)
    split = Split(images, torch.zeros(6_400, dtype=torch.int64))
    made = replace(Dataset("made", 10, 255.0, split, split, split), augmentation=augmentation)
    benchmark.pedantic(lambda: sum(len(labels) for _, labels in made.batches(128, 0, 0)), rounds=5, warmup_rounds=1)

"""Channels last in memory, and products of lower precision: options of the protocol."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.data.augment import augment
from benchmark.data.dataset import Dataset, Split
from benchmark.experiment.trial import Protocol, Task
from benchmark.method.registry import registry
from benchmark.runner import trial as trial_module
from benchmark.runner.trial import run, train_base
from tests.runner.test_trial import make

NARROW = Task(dataset="digits", network="resnet20", widths=(2, 4, 8))


def trial_of(method, task=NARROW, epochs=2, **options):
    protocol = Protocol(epochs=epochs, batch_size=256, **options)
    return make(method, task=task).model_copy(update={"protocol": protocol})


def result(trial):
    if trial.protocol.channels_last and torch.backends.cpu.get_cpu_capability() == "AVX2":
        pytest.skip("with AVX2 torch's convolutions with channels last overwrite memory, so trials refuse it")
    return run(trial, train_base(trial) if trial.base else None)


def coloured(augmentation=None):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8, generator=generator)
    rows = [torch.arange(start, 40, 3) for start in range(3)]
    splits = (Split(images, own % 2, own) for own in rows)
    moments = torch.rand(2, 3, 1, 1, generator=generator) + 0.5
    return Dataset("made", 2, 255.0, *splits, *moments, augmentation=augmentation)


@pytest.fixture
def seen(monkeypatch):
    """Of every convolution's outputs: whether it trains, their type, and whether the inputs' channels lie last."""
    found, make_network = set(), trial_module.untrained

    def watch(layer, inputs, output):
        last = inputs[0].is_contiguous(memory_format=torch.channels_last) and not inputs[0].is_contiguous()
        if inputs[0].shape[1] > 1 and inputs[0].shape[2] > 1:  # of the others both orders are one
            found.add((layer.training and torch.is_grad_enabled(), output.dtype, last))

    def watched(*given):
        network = make_network(*given)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(watch)
        return network

    monkeypatch.setattr(trial_module, "untrained", watched)
    return found


def test_images_with_channels_last_are_the_same_images():
    usual, last = coloured("crop-flip"), coloured("crop-flip").channels_last()
    pairs = list(zip(usual.batches(5, 0, 0), last.batches(5, 0, 0), strict=True))
    for (images, labels), (others, same) in pairs:
        assert torch.equal(images, others)
        assert torch.equal(labels, same)
        assert images.is_contiguous()
        assert others.is_contiguous(memory_format=torch.channels_last)
    for name in ("train", "validation", "test"):
        one, other = (data.pixels(getattr(data, name).images) for data in (usual, last))
        assert torch.equal(one, other)
        assert other.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(usual.train.part(4).pool, last.train.part(4).pool)


@pytest.mark.parametrize("name", ["crop", "flip", "crop-flip"])
def test_augmentation_is_the_same_for_both_orders(name):
    images = torch.randint(256, (9, 3, 12, 10), dtype=torch.uint8)
    one, other = (
        augment(given, name, torch.Generator().manual_seed(1))
        for given in (images, images.contiguous(memory_format=torch.channels_last))
    )
    assert torch.equal(one, other)
    assert other.is_contiguous(memory_format=torch.channels_last)


def test_vectors_have_no_channels():
    vectors = Split(torch.rand(6, 4), torch.arange(6) % 2)
    data = Dataset("made", 2, 1.0, vectors, vectors, vectors)
    assert data.channels_last() is data


def test_where_torch_would_overwrite_memory_a_trial_says_so(monkeypatch):
    """A 1 × 1 convolution with stride 2 of 2, 3, 5 or 6 channels ended processes there, or left them corrupt."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    record = run(trial_of("dense", channels_last=True), None)
    assert (record.status, record.val_accuracy) == ("failed", None)
    assert "channels_last needs a GPU or AVX-512" in record.error


def test_a_trial_with_channels_last_ends_as_one_without_but_for_rounding(seen):
    smooth = NARROW.model_copy(update={"activation": "tanh"})  # at a rectifier's kink rounding makes a difference
    usual = result(trial_of("dense", smooth))
    assert {last for _, _, last in seen} == {False}
    seen.clear()
    found = result(trial_of("dense", smooth, channels_last=True))
    assert (True, torch.float32, True) in seen
    assert found.status == usual.status == "ok"
    np.testing.assert_allclose(found.history["loss"], usual.history["loss"], rtol=5e-4)
    assert found.removal_error < 1e-9


def test_a_reduced_network_keeps_its_channels_last_while_it_is_fine_tuned(monkeypatch):
    tuned = []
    fine_tune = trial_module.fine_tune
    monkeypatch.setattr(trial_module, "fine_tune", lambda *given: tuned.append(given[0].net) or fine_tune(*given))
    assert result(trial_of("magnitude_filter", epochs=4, channels_last=True)).status == "ok"
    weights = [weight for net in tuned for weight in net.weights if weight.dim() == 4]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_products_have_the_precision_while_training_alone(seen):
    found = result(trial_of("implicit", precision="bfloat16"))
    assert found.status == "ok"
    assert {dtype for training, dtype, _ in seen if training} == {torch.bfloat16}
    assert {dtype for training, dtype, _ in seen if not training} <= {torch.float32, torch.float64}
    assert found.removal_error < 1e-9
    usual = result(trial_of("implicit"))
    np.testing.assert_allclose(found.history["loss"], usual.history["loss"], rtol=0.05)
    assert found.history["loss"] != usual.history["loss"]


@pytest.mark.parametrize("name", sorted(registry().methods))
def test_every_method_trains_in_both(name):
    task = Task(dataset="digits", network="resnet20", widths=(2, 2, 4))
    trial = trial_of(name, task=task, epochs=4, precision="bfloat16", channels_last=True)
    record = result(trial)
    assert record.status in ("ok", "collapsed"), record.error
    assert record.removal_error < 1e-6

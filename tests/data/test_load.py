from dataclasses import replace

import pytest
import torch

from benchmark.data import names
from benchmark.data.augment import augment
from benchmark.data.dataset import Dataset, Split
from benchmark.data.load import LOADERS, load
from benchmark.errors import UsageError
from benchmark.experiment.trial import Task


def digits(seed=0):
    return load("digits", 0.2, 0.2, seed)


def test_digits_are_split_without_overlap_and_by_class():
    data = digits()
    splits = (data.train, data.validation, data.test)
    assert [len(s.labels) for s in splits] == [1077, 360, 360]
    rows = torch.cat([s.images.flatten(1) for s in splits])
    assert len(rows) == 1797
    for split in splits:
        counts = torch.bincount(split.labels, minlength=10) / len(split.labels)
        assert counts.min() > 0.09
        assert counts.max() < 0.11


def test_the_digits_shares_are_those_asked_for_whatever_they_are():
    data = load("digits", 0.3, 0.1, 0)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [1078, 539, 180]


def test_the_simulated_shares_are_those_asked_for_whatever_they_are():
    data = load("simulated", 0.3, 0.1, 0)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [240, 120, 40]
    assert torch.bincount(data.test.labels).tolist() == [10] * 4


def test_a_part_is_evenly_spaced_over_all_samples():
    split = Split(torch.arange(10, dtype=torch.uint8).view(-1, 1, 1, 1), torch.arange(10))
    assert split.part(4).labels.tolist() == split.part(4).pool.flatten().tolist() == [0, 2, 5, 7]
    assert split.part(20).labels.tolist() == list(range(10))


def test_a_sample_of_what_a_library_brings_stays_in_its_order():
    assert torch.equal(digits().sample(500).pool, digits().train.part(500).pool)


def test_split_depends_on_its_seed_alone():
    again, other = load.__wrapped__("digits", 0.2, 0.2, 0), digits(1)
    assert torch.equal(digits().test.images, again.test.images)
    assert not torch.equal(digits().test.images, other.test.images)


@pytest.mark.parametrize("name", ["digits", "simulated"])
def test_with_a_test_seed_of_its_own_the_test_set_stays_and_the_rest_is_divided_anew(name):
    usual, same, other = load(name, 0.2, 0.2, 0), load(name, 0.2, 0.2, 0, None, 0), load(name, 0.2, 0.2, 7, None, 0)

    def held(split):
        return {
            (image.numpy().tobytes(), label) for image, label in zip(split.images, split.labels.tolist(), strict=True)
        }

    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(usual, part).images, getattr(same, part).images)
        assert len(getattr(other, part).labels) == len(getattr(usual, part).labels)
    assert torch.equal(usual.test.images, other.test.images)
    assert torch.equal(usual.test.labels, other.test.labels)
    assert held(usual.train) | held(usual.validation) == held(other.train) | held(other.validation)
    assert held(other.validation) != held(usual.validation)
    assert not held(other.validation) & held(other.train)
    assert torch.bincount(other.validation.labels).max() - torch.bincount(other.validation.labels).min() <= 2


def test_pixels_are_scaled_and_the_source_is_kept():
    data = digits()
    pixels = data.pixels(data.train.images)
    assert (pixels.min(), pixels.max()) == (0, 1)
    assert data.train.images.dtype == torch.uint8
    assert data.train.images.max() == 16


@pytest.mark.parametrize(("samples", "size"), [(130, 64), (129, 64), (128, 64), (1, 64), (3, 2), (5, 64)])
def test_batches_cover_every_sample_once_and_none_is_single(samples, size):
    split = Split(torch.zeros(samples, 1, 1, 1, dtype=torch.uint8), torch.arange(samples))
    data = Dataset("made", 2, 1.0, split, split, split)
    batches = [labels for _, labels in data.batches(size, 0, 0)]
    assert sorted(torch.cat(batches).tolist()) == list(range(samples))
    assert len(batches) == data.batch_count(size)
    assert samples == 1 or min(map(len, batches)) > 1


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return torch.cat([labels for _, labels in digits().batches(64, seed, epoch)]).tolist()

    first = order(0, 0)
    torch.rand(1)
    assert order(0, 0) == first
    assert order(0, 1) != first
    assert order(1, 0) != first


def test_unknown_dataset_gets_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        load("digit", 0.2, 0.2, 0)


def made(samples=12, side=16):
    """Samples that share a pool with others; every image is filled with its label + 1."""
    labels = torch.arange(2 * samples)
    pool = (labels + 1).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, side, side).contiguous()
    rows = torch.arange(1, 2 * samples, 2)
    split = Split(pool, labels[rows], rows)
    return Dataset("made", 2 * samples, 1.0, split, split, split)


def test_samples_of_a_shared_pool_are_their_own():
    data = made()
    assert torch.equal(data.train.images[:, 0, 0, 0], data.train.labels + 1)
    assert torch.equal(data.train.take(torch.tensor([3, 0])), data.train.images[[3, 0]])
    moved = data.to(torch.device("cpu")).train
    assert len(moved.pool) == len(moved.labels) == 12
    for images, labels in data.batches(5, 0, 0):
        assert torch.equal(images[:, 0, 0, 0].long(), labels + 1)


def test_colour_is_standardised_by_channel():
    split = Split(torch.tensor([[0, 100], [200, 100]], dtype=torch.uint8).view(2, 2, 1, 1), torch.arange(2))
    mean, deviation = torch.tensor([0.5, 0.0]).view(2, 1, 1), torch.tensor([0.5, 1.0]).view(2, 1, 1)
    data = Dataset("made", 2, 200.0, split, split, split, mean, deviation)
    assert data.pixels(split.images).flatten().tolist() == [-1, 0.5, 1, 0.5]


def test_flip_mirrors_half_of_the_images():
    images = torch.arange(2000 * 12, dtype=torch.uint8).view(2000, 3, 2, 2)
    flipped = augment(images, "flip", torch.Generator().manual_seed(0))
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 0.45 < mirrored.float().mean() < 0.55


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 24)])
def test_crop_shifts_every_image_over_black_borders(height, width):
    images = torch.randint(1, 256, (500, 3, height, width), dtype=torch.uint8)
    cropped = augment(images, "crop", torch.Generator().manual_seed(0))
    shifts = set()
    padded = torch.nn.functional.pad(images, (width // 8, width // 8, height // 8, height // 8))
    for image, found in zip(padded, cropped, strict=True):
        windows = image.unfold(1, height, 1).unfold(2, width, 1)
        ((down, right),) = (windows == found[:, None, None]).all(-1).all(-1).all(0).nonzero().tolist()
        shifts.add((down, right))
    assert {down for down, _ in shifts} == set(range(2 * (height // 8) + 1))
    assert {right for _, right in shifts} == set(range(2 * (width // 8) + 1))


def test_augmentation_depends_on_seed_and_epoch_alone_and_leaves_the_order():
    data = replace(made(200), augmentation="crop-flip")

    def epoch(seed, epoch):
        return [torch.cat(parts) for parts in zip(*data.batches(64, seed, epoch), strict=True)]

    first = epoch(0, 0)
    torch.rand(1)
    assert torch.equal(epoch(0, 0)[0], first[0])
    assert not torch.equal(epoch(0, 1)[0], first[0])
    flat = replace(made(200), augmentation="crop-flip")
    flat.train.pool.copy_(flat.train.pool[:1].expand_as(flat.train.pool))  # so that the order alone changes nothing
    one, other = (next(flat.batches(64, seed, 0))[0] for seed in (0, 1))
    assert not torch.equal(one, other)
    plain = torch.cat([labels for _, labels in made(200).batches(64, 0, 0)])
    assert torch.equal(first[1], plain)


def test_unknown_augmentation_gets_the_nearest():
    with pytest.raises(UsageError, match="unknown augmentation 'cropflip'; did you mean 'crop-flip'"):
        Task(dataset="digits", network="mlp", augment="cropflip")


def test_every_dataset_that_has_a_name_can_be_loaded():
    assert tuple(LOADERS) == names.BUNDLED

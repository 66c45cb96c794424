import pytest
import torch

from benchmark.data import Dataset, Split, load
from benchmark.errors import UsageError


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


def test_split_depends_on_its_seed_alone():
    again, other = load.__wrapped__("digits", 0.2, 0.2, 0), digits(1)
    assert torch.equal(digits().test.images, again.test.images)
    assert not torch.equal(digits().test.images, other.test.images)


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

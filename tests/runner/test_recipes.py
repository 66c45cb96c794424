"""What a paper's recipe may ask of the training loop: schedules, decay in fine-tuning, a look at the test set."""

import math

import pytest
import torch

from benchmark.experiment.trial import Protocol
from benchmark.networks.measure import accuracy
from benchmark.runner.train import History, fine_tune, train
from tests.runner.test_train import Still, Watching, course, weights


def factors(epochs=8, **options):
    protocol = Protocol(epochs=60, **options)
    return [protocol.learning_rate_factor(epoch, epochs) for epoch in range(epochs)]


def test_a_cosine_falls_from_one_along_its_half_wave_in_each_part():
    assert factors(schedule="cosine") == pytest.approx([0.5 * (1 + math.cos(math.pi * e / 8)) for e in range(8)])
    assert factors(4, schedule="cosine", decay=0.1, decays=2) == pytest.approx([1, 0.85355339, 0.5, 0.14644661])


def test_a_warm_up_grows_evenly_and_leaves_the_schedule_the_rest():
    assert factors(warm_up=3, decay=0.1, decays=0) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert factors(warm_up=2, decay=0.1, decays=1) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 0.1, 0.1, 0.1])
    assert factors(warm_up=4, schedule="cosine")[4:] == factors(4, schedule="cosine")
    assert factors(2, warm_up=5) == [1 / 6, 2 / 6]  # a part that is no longer than that never gets to its end


def test_a_tenth_at_a_third_and_at_two_thirds():
    assert factors(30, decay=0.1, decays=2) == pytest.approx([1] * 10 + [0.1] * 10 + [0.01] * 10)


def test_fine_tuning_decays_where_its_protocol_says_so_and_training_does_not():
    protocol = Protocol(epochs=2, batch_size=240, fine_tune_decay=0.3)
    decayed, plain = course(protocol), course(Protocol(epochs=2, batch_size=240))
    before = {n: p.detach().clone() for n, p in decayed.net.module.named_parameters()}
    fine_tune(decayed, Watching(), range(1))
    fine_tune(plain, Watching(), range(1))
    for (name, one), other in zip(decayed.net.module.named_parameters(), plain.net.module.parameters(), strict=True):
        torch.testing.assert_close(one, other - 0.1 * 0.3 * before[name])  # one step of plain descent
    trained, usual = course(protocol), course(Protocol(epochs=2, batch_size=240))
    train(trained, Watching(), range(1))
    train(usual, Watching(), range(1))
    assert all(torch.equal(a, b) for a, b in zip(weights(trained), weights(usual), strict=True))


def test_decay_in_fine_tuning_keeps_zeros():
    taken = course(Protocol(epochs=2, fine_tune_decay=0.1))
    with torch.no_grad():
        taken.net.weights[0].view(-1)[::2] = 0
    fine_tune(taken, Watching(), range(2))
    assert (taken.net.weights[0].view(-1)[::2] == 0).all()


def test_the_test_set_is_watched_only_where_the_protocol_says_so_and_changes_nothing():
    watched, blind = course(Protocol(epochs=3, watch_test=True)), course(Protocol(epochs=3))
    train(watched, Watching(), range(3))
    train(blind, Watching(), range(3))
    assert blind.history.best_test is None
    assert watched.history.best_test > 0
    assert watched.history.val_accuracy == blind.history.val_accuracy
    assert all(torch.equal(a, b) for a, b in zip(weights(watched), weights(blind), strict=True))


def test_the_best_epoch_is_of_the_last_part_and_no_worse_than_its_last_epoch():
    taken = course(Protocol(epochs=4, watch_test=True))
    test = taken.data.pixels(taken.data.test.images), taken.data.test.labels
    train(taken, Watching(), range(4))
    assert taken.history.best_test >= accuracy(taken.net.module, *test)
    for weight in taken.net.weights:  # the last part begins anew, however good the one before was
        weight.data.zero_()
    train(taken, Still(), range(1))
    assert taken.history.best_test == accuracy(taken.net.module, *test)


def test_an_epoch_is_judged_as_its_method_is_tested():
    class Blank(Still):
        def tested(self, net):
            self.asked = True
            return Swapped(net)

    class Swapped:
        def __init__(self, net):
            self.weight = net.weights[-1]

        def __enter__(self):
            self.kept = self.weight.detach().clone()
            self.weight.data.zero_()

        def __exit__(self, *_):
            self.weight.data.copy_(self.kept)

    taken, method = course(Protocol(epochs=1, watch_test=True)), Blank()
    before = weights(taken)
    train(taken, method, range(1))
    blank = course()
    blank.net.weights[-1].data.zero_()
    data = taken.data
    assert method.asked
    assert taken.history.val_accuracy == [
        accuracy(blank.net.module, data.pixels(data.validation.images), data.validation.labels)
    ]
    assert all(torch.equal(a, b) for a, b in zip(before, weights(taken), strict=True))
    assert History().best_test is None

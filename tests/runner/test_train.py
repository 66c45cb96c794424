import math
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmark.data.dataset import Dataset
from benchmark.data.load import load
from benchmark.experiment.trial import Protocol
from benchmark.method.interface import Method, training
from benchmark.networks.build import build
from benchmark.networks.measure import accuracy
from benchmark.removal.groups import find_groups
from benchmark.runner.train import Course, DivergedError, History, _Masked, fine_tune, train

PROTOCOL = Protocol(epochs=4, batch_size=100)  # on 240 samples: two batches of 100 and one of 40
STEPS = 3


class Watching(Method):
    """Trains with plain gradient descent, and notes what the loop asks of it."""

    title, reference, knob, space = "Watching", "test", None, training("sgd", 0.1)

    def __init__(self):
        super().__init__(torch.Generator())
        self.prepared, self.calls, self.rates = None, [], []

    def prepare(self, net, steps):
        self.prepared = net, steps

    def penalty(self, net):
        self.calls.append("penalty")

    def after_backward(self, net):
        self.calls.append("after_backward")

    def after_step(self, net, lr):
        self.calls.append("after_step")
        self.rates.append(lr)


class Still(Watching):
    """Changes no weight."""

    def configure_optimizer(self, net):
        return torch.optim.SGD(net.module.parameters(), lr=0.0)


def course(protocol=PROTOCOL, seed=0, norm="none"):
    data = load("simulated", 0.2, 0.2, 0)
    module = build("mlp", data.shape, data.classes, seed=0, widths=(8,), norm=norm)
    return Course(find_groups(module, data.pixels(data.validation.images[:8])), data, protocol, seed)


def weights(taken):
    return [weight.detach().clone() for weight in taken.net.weights]


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples():
    taken = course()
    samples = taken.data.pixels(taken.data.train.images), taken.data.train.labels
    losses = nn.functional.cross_entropy(taken.net.module(samples[0]), samples[1], reduction="none")
    train(taken, Still(), range(2))
    assert taken.history.loss == pytest.approx([losses.mean().item()] * 2, abs=2e-6)
    batches = [labels for _, labels in taken.data.batches(100, 0, 0)]
    assert [len(labels) for labels in batches] == [100, 100, 40]  # so a mean of the batches' means would be another


def test_a_method_is_told_its_steps_and_called_at_each_of_them():
    taken, method = course(), Watching()
    train(taken, method, range(1, 3))
    assert method.prepared == (taken.net, 2 * STEPS)
    assert method.calls == ["penalty", "after_backward", "after_step"] * 2 * STEPS


def test_the_learning_rates_schedule_runs_through_in_each_part():
    whole, rest = Watching(), Watching()
    train(course(), whole, range(4))
    train(course(), rest, range(2, 4))
    assert whole.rates == [rate for rate in (0.1, 0.05, 0.025, 0.0125) for _ in range(STEPS)]
    assert rest.rates == [rate for rate in (0.1, 0.025) for _ in range(STEPS)]


def test_fine_tuning_begins_with_the_learning_rate_that_training_began_with(monkeypatch):
    rates = []
    monkeypatch.setattr(_Masked, "after_step", lambda self, net, lr: rates.append(lr))
    fine_tune(course(), Watching(), range(2, 4))
    assert rates == [rate for rate in (0.1, 0.025) for _ in range(STEPS)]


def test_fine_tuning_goes_on_with_the_order_of_batches_where_training_stopped(monkeypatch):
    asked = []
    batches = Dataset.batches
    monkeypatch.setattr(Dataset, "batches", lambda self, *a: asked.append(a) or batches(self, *a))
    taken = course()
    train(taken, Watching(), range(3))
    fine_tune(taken, Watching(), range(3, 4))
    assert asked == [(100, 0, epoch) for epoch in range(4)]


def test_a_penalty_is_added_to_the_loss_that_is_minimised_but_not_to_the_history():
    class Penalised(Watching):
        def penalty(self, net):
            return 0.5 * sum((weight**2).sum() for weight in net.weights)

    class Seeing(Watching):
        def after_backward(self, net):
            self.gradients = [weight.grad.clone() for weight in net.weights]
            self.penalties = [weight.detach().clone() for weight in net.weights]

    class Both(Penalised, Seeing):
        pass

    protocol = Protocol(epochs=1, batch_size=240)
    bare, penalised, before = Seeing(), Both(), weights(course())
    courses = course(protocol), course(protocol)
    train(courses[0], bare, range(1))
    train(courses[1], penalised, range(1))
    for weight, one, other in zip(before, bare.gradients, penalised.gradients, strict=True):
        torch.testing.assert_close(other, one + weight)
    assert courses[0].history.loss == courses[1].history.loss


def test_an_epoch_leaves_one_entry_in_every_part_of_the_history():
    taken, started = course(), time.perf_counter()
    train(taken, Watching(), range(3))
    history = taken.history
    assert 0 < history.seconds < time.perf_counter() - started
    validation = taken.data.pixels(taken.data.validation.images), taken.data.validation.labels
    assert history.val_accuracy[2] == accuracy(taken.net.module, *validation)
    assert history.loss == [round(loss, 6) for loss in history.loss]
    assert [len(part) for part in (history.loss, history.val_accuracy, history.silent)] == [3, 3, 3]
    assert history.loss[2] < history.loss[0]
    seconds = history.seconds
    train(taken, Watching(), range(3, 4))
    assert len(history.loss) == 4
    assert history.seconds > seconds


def test_the_history_counts_the_silent_share_of_the_hidden_channels():
    class Silencing(Still):
        def after_step(self, net, lr):
            net.groups[0].silence(torch.arange(8) < 2)

    taken = course()
    train(taken, Silencing(), range(1))
    assert taken.history.silent == [0.25]


def test_seed_and_epoch_alone_order_the_batches():
    one, again, other = course(), course(), course(seed=1)
    for taken in (one, again, other):
        train(taken, Watching(), range(1))
    assert all(map(torch.equal, weights(one), weights(again)))
    assert not all(map(torch.equal, weights(one), weights(other)))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training_and_is_trimmed_from_what_is_kept(poison):
    class Poisoned(Watching):
        def after_step(self, net, lr):
            self.calls.append("after_step")
            if self.calls.count("after_step") == STEPS + 1:  # the first of the second epoch
                net.weights[-1].data.fill_(poison)

    taken = course()
    with pytest.raises(DivergedError, match=r"^loss (nan|inf) in epoch 2$"):
        train(taken, Poisoned(), range(4))
    assert len(taken.history.loss) == 2
    finite = taken.history.finite_epochs()
    assert finite == {
        "loss": taken.history.loss[:1],
        "val_accuracy": taken.history.val_accuracy[:1],
        "silent": taken.history.silent[:1],
    }


@pytest.mark.parametrize("place", [0, -1])
def test_weights_that_are_not_finite_end_training_though_the_loss_is(place):
    """The output layer's too, which makes no hidden channel."""

    class Poisoned(Watching):
        def after_step(self, net, lr):
            self.calls.append("after_step")
            if len(self.calls) == STEPS * 3:
                net.weights[place].data[0] = math.inf

    taken = course()
    with pytest.raises(DivergedError, match="in epoch 1"):
        train(taken, Poisoned(), range(4))
    assert math.isfinite(taken.history.loss[0])
    assert taken.history.finite_epochs()["loss"] == taken.history.loss


def test_a_history_keeps_each_measure_of_its_finite_epochs():
    history = History(loss=[2.0, 1.0, math.nan], val_accuracy=[0.3, 0.6, 0.2], silent=[0.0, 0.5, 1.0])
    assert history.finite_epochs() == {"loss": [2.0, 1.0], "val_accuracy": [0.3, 0.6], "silent": [0.0, 0.5]}


def test_fine_tuning_keeps_zeros_and_takes_the_methods_optimiser_but_none_of_its_hooks():
    taken, method = course(), Watching()
    with torch.no_grad():
        taken.net.weights[0].view(-1)[::2] = 0
    before = weights(taken)
    fine_tune(taken, method, range(3, 4))
    after = weights(taken)
    assert method.calls == []
    assert method.prepared is None
    assert torch.equal(after[0] == 0, before[0] == 0)
    assert not torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])
    assert len(taken.history.loss) == 1


def test_fine_tuning_a_network_without_zeros_is_training_on_the_loss():
    tuned, trained = course(norm="batch"), course(norm="batch")
    fine_tune(tuned, Watching(), range(2, 4))
    train(trained, Watching(), range(2, 4))
    assert all(map(torch.equal, weights(tuned), weights(trained)))
    assert tuned.history.loss == trained.history.loss


def test_a_reduced_network_none_of_whose_channels_could_still_go_is_fine_tuned():
    """As some code is followed otherwise once few channels are left."""
    taken = course()
    fine_tune(replace(taken, net=replace(taken.net, groups=[])), Watching(), range(3, 4))
    assert taken.history.silent == [0.0]
    assert len(taken.history.loss) == 1

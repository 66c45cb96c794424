"""The training loop, the only one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmark.data.dataset import Dataset
from benchmark.experiment.record import SILENT
from benchmark.experiment.trial import Protocol
from benchmark.method.interface import Method
from benchmark.networks.measure import accuracy
from benchmark.removal.groups import Net

if TYPE_CHECKING:
    from benchmark.runner.states import Kept


class DivergedError(ArithmeticError):
    """The loss is not finite."""


@dataclass
class History:
    """One entry per epoch."""

    loss: list[float] = field(default_factory=list)  # mean training loss, without penalty
    val_accuracy: list[float] = field(default_factory=list)
    silent: list[float] = field(default_factory=list)  # fraction of hidden channels with ‖w_k‖₂ < SILENT
    best_test: float | None = None  # of the last part's epochs, where the protocol watches the test set
    seconds: float = 0.0

    def finite_epochs(self) -> dict[str, list[float]]:
        """What a record keeps: without the last epoch where its loss is not finite, for JSON has no NaN."""
        whole = [i for i, loss in enumerate(self.loss) if math.isfinite(loss)]
        measures = {"loss": self.loss, "val_accuracy": self.val_accuracy, "silent": self.silent}
        return {name: [values[i] for i in whole] for name, values in measures.items()}


@dataclass(frozen=True)
class Course:
    """A network's way through its protocol: on which data, in which order of batches, and the epochs that it has had.

    The history alone changes; a course that goes on with another network shares it. `kept` are its states: each part
    goes on from the one that it has there.
    """

    net: Net
    data: Dataset
    protocol: Protocol
    seed: int
    history: History = field(default_factory=History)
    kept: Kept | None = None


def train(course: Course, method: Method, epochs: range) -> None:
    """Trains with the method's hooks for the given epochs, one part with a schedule of its own; extends the history.

    Raises DivergedError at the end of the first epoch whose loss or weights are not finite.
    """
    method.prepare(course.net, len(epochs) * course.data.batch_count(course.protocol.batch_size))
    _run_epochs(course, method, method.configure_optimizer(course.net), epochs, "training")


def fine_tune(course: Course, method: Method, epochs: range) -> None:
    """Trains on the loss alone, with the method's optimiser, the schedule from its start; zero weights stay zero.

    Where the protocol says so, all parameters decay.
    """
    decay = course.protocol.fine_tune_decay
    options = {} if decay is None else {"weight_decay": decay}
    optimizer = method.build_optimizer(course.net.module.parameters(), **options)
    masks = [(weight, weight.detach() != 0) for weight in course.net.weights]
    frozen = _Masked([(weight, mask) for weight, mask in masks if not mask.all()])
    _run_epochs(course, frozen, optimizer, epochs, "fine-tuning")


class _Masked(Method):
    """Keeps zero weights at zero."""

    def __init__(self, masks: list[tuple[nn.Parameter, torch.Tensor]]):
        self.masks = masks

    @torch.no_grad()
    def after_step(self, net: Net, lr: float) -> None:
        for weight, mask in self.masks:
            weight.mul_(mask)


@contextmanager
def _tiny_is_zero() -> Iterator[None]:
    """A CPU takes what lies below float32's normal numbers (1.2e-38) for zero.

    Squares of weights that decay pass through there, and many processors compute with such numbers many times slower.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@_tiny_is_zero()
def _run_epochs(course: Course, method: Method, optimizer: torch.optim.Optimizer, epochs: range, part: str) -> None:
    started = time.perf_counter()
    data, history, kept = course.data, course.history, course.kept
    validation = data.pixels(data.validation.images)
    test = data.pixels(data.test.images) if course.protocol.watch_test else None
    history.best_test = None
    initial = [group["lr"] for group in optimizer.param_groups]
    roots = {"net": course.net, "optimizer": optimizer, "method": method, "history": history}
    done = kept.resume(part, course.net.module, roots) if kept else 0
    for place, epoch in enumerate(epochs[done:], start=done):
        factor = course.protocol.learning_rate_factor(place, len(epochs))
        for group, lr in zip(optimizer.param_groups, initial, strict=True):
            group["lr"] = lr * factor
        loss = _run_epoch(course, method, optimizer, epoch)
        with method.tested(course.net):
            val_accuracy = accuracy(course.net.module, validation, data.validation.labels)
            if test is not None:
                tested = accuracy(course.net.module, test, data.test.labels)
                history.best_test = max(history.best_test or 0.0, tested)
        started = _note(course, epoch, loss, val_accuracy, started)
        if kept:
            kept.epoch_ended(part, place + 1, roots)
            started = time.perf_counter()


def _note(course: Course, epoch: int, loss: float, val_accuracy: float, started: float) -> float:
    """Extends the history by an epoch; returns when it ended. Raises DivergedError."""
    history, norms = course.history, course.net.incoming_norms()
    history.loss.append(round(loss, 6))
    history.val_accuracy.append(val_accuracy)
    history.silent.append((norms < SILENT).sum().item() / course.net.hidden_channels)
    ended = time.perf_counter()
    history.seconds += ended - started
    trained = [parameter for parameter in course.net.module.parameters() if parameter.requires_grad]
    if not math.isfinite(loss) or not all(torch.isfinite(x).all() for x in (norms, *trained)):
        raise DivergedError(f"loss {loss} in epoch {epoch + 1}")
    return ended


def _run_epoch(course: Course, method: Method, optimizer: torch.optim.Optimizer, epoch: int) -> float:
    """One pass over the training set; returns the mean loss per sample."""
    net, data = course.net, course.data
    module = net.module.train()
    total = torch.zeros((), device=data.train.labels.device)
    for images, labels in data.batches(course.protocol.batch_size, course.seed, epoch):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(_outputs(module, images, course.protocol.precision), labels)
        penalty = method.penalty(net)
        (loss if penalty is None else loss + penalty).backward()
        method.after_backward(net)
        optimizer.step()
        method.after_step(net, optimizer.param_groups[0]["lr"])
        total += loss.detach() * len(labels)
    return total.item() / len(data.train.labels)


def _outputs(module: nn.Module, images: Tensor, precision: str | None) -> Tensor:
    """The network's outputs, its products computed with the precision, for a loss of full precision."""
    if precision is None:
        outputs: Tensor = module(images)
        return outputs
    with torch.autocast(images.device.type, getattr(torch, precision)):
        outputs = module(images)
    return outputs.float()

"""The training loop, the only one."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import nn

from benchmark.data.dataset import Dataset
from benchmark.experiment.record import SILENT
from benchmark.experiment.trial import Protocol
from benchmark.method.interface import Method
from benchmark.networks.measure import accuracy
from benchmark.removal.groups import Net


class DivergedError(ArithmeticError):
    """The loss is not finite."""


@dataclass
class History:
    """One entry per epoch."""

    loss: list[float] = field(default_factory=list)  # mean training loss, without penalty
    val_accuracy: list[float] = field(default_factory=list)
    silent: list[float] = field(default_factory=list)  # fraction of hidden channels with ‖w_k‖₂ < SILENT
    seconds: float = 0.0


def train(
    net: Net, method: Method, data: Dataset, protocol: Protocol, seed: int, epochs: range, history: History
) -> None:
    """Trains with the method's hooks for the given epochs of the protocol's schedule; extends the history.

    Raises DivergedError at the end of the first epoch whose loss or weights are not finite.
    """
    method.prepare(net, len(epochs) * data.batch_count(protocol.batch_size))
    optimizer = method.configure_optimizer(net)
    _run_epochs(net, optimizer, method, data, protocol, seed, epochs, history)


def fine_tune(
    net: Net, method: Method, data: Dataset, protocol: Protocol, seed: int, epochs: range, history: History
) -> None:
    """Trains on the loss alone, with the method's optimiser, for the rest of the schedule; zero weights stay zero."""
    optimizer = Method.configure_optimizer(method, net)
    masks = [(weight, weight.detach() != 0) for weight in net.weights]
    frozen = _Masked([(weight, mask) for weight, mask in masks if not mask.all()])
    _run_epochs(net, optimizer, frozen, data, protocol, seed, epochs, history)


class _Masked(Method):
    """Keeps zero weights at zero."""

    def __init__(self, masks: list[tuple[nn.Parameter, torch.Tensor]]):
        self.masks = masks

    @torch.no_grad()
    def after_step(self, net: Net, lr: float) -> None:
        for weight, mask in self.masks:
            weight.mul_(mask)


def _run_epochs(
    net: Net,
    optimizer: torch.optim.Optimizer,
    method: Method,
    data: Dataset,
    protocol: Protocol,
    seed: int,
    epochs: range,
    history: History,
) -> None:
    started = time.perf_counter()
    validation = data.pixels(data.validation.images)
    initial = [group["lr"] for group in optimizer.param_groups]
    for epoch in epochs:
        factor = protocol.learning_rate_factor(epoch)
        for group, lr in zip(optimizer.param_groups, initial, strict=True):
            group["lr"] = lr * factor
        loss = _run_epoch(net, optimizer, method, data, protocol.batch_size, seed, epoch)
        history.loss.append(round(loss, 6))
        history.val_accuracy.append(accuracy(net.module, validation, data.validation.labels))
        norms = net.incoming_norms()
        history.silent.append((norms < SILENT).sum().item() / net.hidden_channels)
        if not math.isfinite(loss) or not torch.isfinite(norms).all():
            raise DivergedError(f"loss {loss} in epoch {epoch + 1}")
    history.seconds += time.perf_counter() - started


def _run_epoch(
    net: Net, optimizer: torch.optim.Optimizer, method: Method, data: Dataset, batch_size: int, seed: int, epoch: int
) -> float:
    """One pass over the training set; returns the mean loss per sample."""
    module = net.module.train()
    total = torch.zeros((), device=data.train.labels.device)
    for images, labels in data.batches(batch_size, seed, epoch):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(images), labels)
        penalty = method.penalty(net)
        (loss if penalty is None else loss + penalty).backward()
        method.after_backward(net)
        optimizer.step()
        method.after_step(net, optimizer.param_groups[0]["lr"])
        total += loss.detach() * len(labels)
    return total.item() / len(data.train.labels)

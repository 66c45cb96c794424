"""The interface that every method implements: it silences channels, and does nothing else."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from benchmark.domains import Choice, Domain, Real
from benchmark.errors import unknown

if TYPE_CHECKING:
    from benchmark.groups import ChannelGroup, Net, Site

__all__ = [
    "OPTIMIZERS",
    "Choice",
    "Domain",
    "Method",
    "Real",
    "channel_sum",
    "lowest",
    "rows",
    "shrink",
    "silence_lowest",
    "soft_threshold",
    "training",
]


OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adadelta": (torch.optim.Adadelta, {}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
    "amsgrad": (torch.optim.Adam, {"amsgrad": True, "fused": True}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9, "fused": True}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "sgd": (torch.optim.SGD, {"fused": True}),
}


def training(optimizer: str, learning_rate: float) -> dict[str, Domain]:
    """The two hyperparameters that every trained method has, with its own defaults."""
    return {
        "optimizer": Choice(optimizer, tuple(OPTIMIZERS)),
        "learning_rate": Real(learning_rate, 1e-5, 10.0, log=True),
    }


@torch.no_grad()
def soft_threshold(weights: list[Tensor], amount: float) -> None:
    """w ← sign(w) (|w| − amount)₊ for every weight: the proximal step of amount · ‖W‖₁."""
    torch._foreach_sub_(weights, [weight.clamp(-amount, amount) for weight in weights])


@torch.no_grad()
def shrink(group: ChannelGroup, amount: float) -> None:
    """w_k ← w_k (1 − amount / ‖w_k‖₂)₊ for every channel k: the proximal step of amount · Σ_k ‖w_k‖₂."""
    group.scale_incoming((1 - amount / group.incoming_norms().clamp_min_(1e-30)).clamp_min_(0))


def lowest(scores: Tensor, ratio: float) -> Tensor:
    """Which `ratio` of the scores (N,) are the lowest, the earlier of equal ones first; bool (N,)."""
    doomed = torch.zeros_like(scores, dtype=torch.bool)
    doomed[scores.argsort(stable=True)[: int(ratio * len(scores))]] = True
    return doomed


def silence_lowest(net: Net, scores: list[Tensor], ratio: float) -> None:
    """Silences the `ratio` of all channels with the lowest scores over all groups; one tensor (size,) a group."""
    doomed = lowest(torch.cat(scores), ratio)
    for group, part in zip(net.groups, doomed.split([group.size for group in net.groups]), strict=True):
        group.silence(part)


def channel_sum(group: ChannelGroup, parts: list[tuple[Site, Tensor]]) -> Tensor:
    """By channel the sum of what its rows in several layers hold: one value a row and site; shape (size,)."""
    total = parts[0][1].new_zeros(group.size)
    for site, values in parts:
        total.index_add_(0, site.channels, values[site.positions])
    return total


def rows(site: Site, values: Tensor, otherwise: float) -> Tensor:
    """A value for each of the layer's outputs, shaped to multiply its weight, from one for each channel (size,)."""
    weight = site.layer.weight
    spread = values.new_full((weight.shape[0],), otherwise)
    spread[site.positions] = values[site.channels]
    return spread.view(-1, *[1] * (weight.dim() - 1))


class Method(ABC):
    """One way to make channels of a network silent. The benchmark trains, removes and measures.

    A method sets parameters to zero; it never measures itself, never reshapes a layer, never sees test data.
    Hyperparameters arrive validated, as attributes named like the keys of `space`.
    """

    title: ClassVar[str]  # as the legend shows it
    reference: ClassVar[str]  # paper, year, arXiv id or DOI
    knob: ClassVar[str | None]  # the key of `space` that trades size for accuracy; None for a control without one
    space: ClassVar[dict[str, Domain]]  # every hyperparameter
    base: ClassVar[str | None] = None  # the method whose trained network this one starts from, trained once and shared
    trains_base: ClassVar[bool] = False  # whether it trains its base network on before it silences channels
    fine_tunes: ClassVar[bool] = False  # spends the protocol's fine-tune share on the reduced network
    version: ClassVar[int] = 1  # raised when results would change; part of the trial's key

    def __init__(self, generator: torch.Generator, **hyperparameters: Any):
        self.generator = generator  # for every random choice a method makes; seeded by the trial
        for name, value in self.validate(hyperparameters).items():
            setattr(self, name, value)

    @classmethod
    def validate(cls, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """All of `space`, given values checked and the others at their defaults. Raises ValueError."""
        surplus = set(hyperparameters) - set(cls.space)
        if surplus:
            raise ValueError(unknown("hyperparameter", min(surplus), cls.space))
        values = {}
        for name, domain in cls.space.items():
            try:
                values[name] = domain.validate(hyperparameters.get(name, domain.default))
            except ValueError as error:
                raise ValueError(f"{name} = {error}") from None
        return values

    def prepare(self, net: Net, steps: int) -> None:
        """Before training for `steps` optimiser steps: initialise or reparametrise."""

    def configure_optimizer(self, net: Net) -> torch.optim.Optimizer:
        """The optimiser of the network's parameters, by default the one that the hyperparameters name."""
        return self.build_optimizer(net.module.parameters())

    def build_optimizer(self, parameters: Any, **options: Any) -> torch.optim.Optimizer:
        """The optimiser that the hyperparameters name, over `parameters`, with further torch options."""
        kind, defaults = OPTIMIZERS[self.optimizer]
        return kind(parameters, lr=self.learning_rate, **defaults, **options)

    def penalty(self, net: Net) -> Tensor | None:
        """A scalar added to the loss of every batch, or None."""
        return None

    def after_backward(self, net: Net) -> None:
        """After the loss's gradients are there: add a penalty's gradient in closed form."""

    def after_step(self, net: Net, lr: float) -> None:
        """After the optimiser's step at learning rate `lr`: a proximal step, a mask, a schedule."""

    def silence(self, net: Net, images: Tensor, labels: Tensor) -> None:
        """After training: set parameters of doomed channels to zero. The data is the training set."""

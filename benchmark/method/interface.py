"""The interface that every method implements: it silences channels, and does nothing else."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from benchmark.errors import unknown
from benchmark.method.domains import Choice, Domain, Real, Variant

if TYPE_CHECKING:
    from benchmark.removal.groups import Net

OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
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


DESCENT = ("momentum", "nesterov", "sgd")  # all weights take the same step for the same gradient


def training(
    optimizer: str, learning_rate: float, optimizers: tuple[str, ...] = tuple(OPTIMIZERS)
) -> dict[str, Domain]:
    """The two hyperparameters that every trained method has, with its own defaults and the optimisers it accepts."""
    return {
        "optimizer": Choice(optimizer, optimizers),
        "learning_rate": Real(learning_rate, 1e-5, 10.0, log=True),
    }


class Method(ABC):
    """One way to make channels of a network silent. The benchmark trains, removes and measures.

    A method sets parameters to zero; it never measures itself, never reshapes a layer, never sees test data.
    Hyperparameters arrive validated, as attributes named like the keys of `space`.

    A training that is broken off goes on from its last state: `prepare` and `configure_optimizer` run as usual, then
    the network, the optimiser and all attributes are brought to what they were, tensors in place. Attributes hold for
    that tensors, numbers, strings, None, generators, modules, optimisers, parts of `net`, and lists, tuples, dicts and
    dataclasses of these. With anything else in them, a set or a lambda, a trial begins anew: slower, with the same
    result. What lies elsewhere, in a global variable or a closure, does not come back, unless it is a tensor that an
    attribute holds too and that is changed in place. `deadweight check` tries it.
    """

    title: ClassVar[str]  # as the legend shows it
    reference: ClassVar[str]  # paper, year, arXiv id or DOI
    knob: ClassVar[str | None]  # the key of `space` that trades size for accuracy; None for a control without one
    space: ClassVar[dict[str, Domain]]  # every hyperparameter
    base: ClassVar[str | None] = None  # the method whose trained network this one starts from, trained once and shared;
    # its own name where the knob acts in `silence` alone: the same training then serves all points of the knob
    trains_base: ClassVar[bool] = False  # whether it trains its base network on before it silences channels
    starts_anew: ClassVar[bool] = False  # whether it begins with initial weights even where a task has a checkpoint
    fine_tunes: ClassVar[bool] = False  # by default, spends the protocol's fine-tune share on the reduced network:
    # for every method alike by its own optimiser on the loss alone, without penalty or weight decay
    version: ClassVar[int] = 1  # raised when results would change; part of the trial's key

    optimizer: str  # where `space` has those of `training`
    learning_rate: float

    def __init__(self, generator: torch.Generator, **hyperparameters: Any):
        self.generator = generator  # for every random choice a method makes; seeded by the trial
        values = self.validate(hyperparameters)
        for name, domain in self.space.items():
            setattr(self, name, values.get(name, domain.default))

    @classmethod
    def validate(cls, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """All of `space`, given values checked and the others at their defaults: what a trial's key is made of.

        Without those whose default is None, and variants that are at their default. Raises ValueError.
        """
        surplus = set(hyperparameters) - set(cls.space)
        if surplus:
            raise ValueError(unknown("hyperparameter", min(surplus), cls.space))
        values = {}
        for name, domain in cls.space.items():
            if name not in hyperparameters and domain.default is None:
                continue
            try:
                value = domain.validate(hyperparameters.get(name, domain.default))
            except ValueError as error:
                raise ValueError(f"{name} = {error}") from None
            if not (isinstance(domain, Variant) and value == domain.default):
                values[name] = value
        return values

    def prepare(self, net: Net, steps: int) -> None:
        """Before training for `steps` optimiser steps: initialise or reparametrise."""

    def configure_optimizer(self, net: Net) -> torch.optim.Optimizer:
        """The optimiser of the network's parameters, by default the one that the hyperparameters name."""
        return self.build_optimizer(net.module.parameters())

    def build_optimizer(self, parameters: Any, **options: Any) -> torch.optim.Optimizer:
        """The optimiser that the hyperparameters name, over `parameters`, with further torch options.

        No weight decays unless the options say so; AdamW's own default would.
        """
        kind, defaults = OPTIMIZERS[self.optimizer]
        return kind(parameters, **{"lr": self.learning_rate, "weight_decay": 0.0, **defaults, **options})

    def step_size(self, lr: float) -> float:
        """How far one step of `DESCENT`'s optimisers goes along a constant gradient of 1: η / (1 − μ).

        It is the size of a proximal step beside them. Momentum's sum of past gradients, each weighed μ times as much as
        the next, is 1 / (1 − μ) times their average, Nesterov's too. Where training rests, at a gradient g, the fixed
        point w = prox_{sλR}(w − ηg / (1 − μ)) minimises loss + λR if s = η / (1 − μ); s = η would give (1 − μ) λ.
        Source: Yun, Lozano and Yang 2021, NeurIPS, algorithm 1 (ProxGen), which states it by the average.
        """
        momentum: float = OPTIMIZERS[self.optimizer][1].get("momentum", 0.0)
        return lr / (1 - momentum)

    def penalty(self, net: Net) -> Tensor | None:
        """A scalar added to the loss of every batch, or None."""
        return None

    def after_backward(self, net: Net) -> None:
        """After the loss's gradients are there: add a penalty's gradient in closed form."""

    def after_step(self, net: Net, lr: float) -> None:
        """After the optimiser's step at learning rate `lr`: a proximal step, a mask, a schedule."""

    def tested(self, net: Net) -> AbstractContextManager[None]:
        """A context, at the end of every epoch, in which the network is as it is tested: by default as it is."""
        return nullcontext()

    def silence(self, net: Net, images: Tensor, labels: Tensor) -> None:
        """After training: set parameters of doomed channels to zero, given at most 10,000 training samples."""

"""How channels die in a training run, beside the same weights under the penalty alone (Yaguchi et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmark.experiment.trial import Trial
from benchmark.method.interface import Method
from benchmark.removal.groups import Net
from benchmark.removal.operations import ACTIVATION_MODULES
from benchmark.runner.train import History
from benchmark.runner.trial import make_method, train_watched

POINTS = 400

ALIVE = 1e-6
State = dict[str, Tensor]  # one channel's incoming weights, as `weights`, and the optimiser's state of them


@dataclass
class Path:
    """A channel's ‖w_k‖₂ after each step of the run, and from its last activation on under the penalty alone."""

    channel: int
    last: int  # step of the last batch that activates it
    run: np.ndarray
    alone: np.ndarray  # begins at `last`


@dataclass
class Watch(Method):
    """A method that notes after each step every channel's norm and whether the batch activated it, and keeps states."""

    method: Method
    keep: dict[int, list[int]] = field(default_factory=dict)  # by step, the channels whose state to keep
    norms: list[Tensor] = field(default_factory=list)
    active: list[Tensor] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    states: dict[int, State] = field(default_factory=dict)

    def prepare(self, net: Net, steps: int) -> None:
        """Also looks at what enters the activations. Raises ValueError where channels have not one each."""
        self.method.prepare(net, steps)
        if len(net.groups) != 1 or len(net.groups[0].writers) != 1:
            raise ValueError("trajectories are drawn for networks with one hidden layer")
        activation = next(m for m in net.module.modules() if isinstance(m, ACTIVATION_MODULES))
        activation.register_forward_pre_hook(self._note_activity)

    def _note_activity(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        if layer.training:
            self.active.append((inputs[0] > 0).any(0))

    def configure_optimizer(self, net: Net) -> torch.optim.Optimizer:
        """The method's own."""
        self.optimizer = self.method.configure_optimizer(net)
        return self.optimizer

    def penalty(self, net: Net) -> Tensor | None:
        """The method's own."""
        return self.method.penalty(net)

    def after_backward(self, net: Net) -> None:
        """The method's own."""
        self.method.after_backward(net)

    def after_step(self, net: Net, lr: float) -> None:
        """The method's own, and then the notes."""
        self.method.after_step(net, lr)
        step = len(self.norms)
        self.norms.append(net.incoming_norms())
        self.rates.append(lr)
        for channel in self.keep.get(step, ()):
            self.states[channel] = _state(net.groups[0].writers[0].layer.weight, channel, self.optimizer)


def follow(trial: Trial, count: int, progress: Callable[[str], None]) -> tuple[list[Path], History]:
    """The paths of at most `count` channels that stop being activated while their weights are not small yet.

    No batch of the last tenth of the steps activates them, and ‖w_k‖₂ at the last activation is above `ALIVE`: behind a
    batch norm a channel whose weights have died may emit a constant for long. The run is made twice: once to see when
    each channel stops, once to take weights and optimiser state at that step. Under the penalty alone the same
    optimiser goes on from there with a loss gradient of zero. Raises ValueError for another penalty than L2 inside the
    optimiser, a network without exactly one hidden layer, or where no channel stops so.
    """
    if trial.setting.method != "implicit" or trial.setting.hyperparameters["optimizer"] == "adamw":
        raise ValueError("its penalty is not L2 inside the optimiser, as that of the method implicit is")
    progress("training")
    first, _ = _watch(trial, {})
    norms = torch.stack(first.norms).numpy()
    stops = [(step, k) for step, k in _stops(torch.stack(first.active).numpy()) if norms[step, k] > ALIVE]
    if not stops:
        raise ValueError("no channel stops being activated")
    chosen = [stops[i] for i in np.linspace(0, len(stops) - 1, min(count, len(stops))).round().astype(int)]
    keep: dict[int, list[int]] = {}
    for step, channel in chosen:
        keep.setdefault(step, []).append(channel)
    progress("training again")
    second, history = _watch(trial, keep)
    paths = []
    for step, channel in chosen:
        progress(f"simulating channel {channel}")
        simulated = _alone(trial, second.states[channel], second.rates[step + 1 :])
        paths.append(Path(channel, step, norms[:, channel], simulated))
    return paths, history


def _watch(trial: Trial, keep: dict[int, list[int]]) -> tuple[Watch, History]:
    watch = Watch(make_method(trial.setting, trial.seed), keep)
    return watch, train_watched(trial, watch)


def _stops(active: np.ndarray) -> list[tuple[int, int]]:
    """(Step of the last activation, channel), in order, of those that are active at first, not in the last tenth."""
    steps = len(active)
    last = steps - 1 - active[::-1].argmax(0)
    return sorted((int(s), k) for k, s in enumerate(last) if active[:, k].any() and s < steps - max(1, steps // 10))


def _state(weight: nn.Parameter, channel: int, optimizer: torch.optim.Optimizer) -> State:
    state = {"weights": weight.detach()[channel].clone()}
    for name, value in optimizer.state[weight].items():
        if isinstance(value, Tensor):
            state[name] = (value[channel] if value.shape == weight.shape else value).clone()
    return state


def _alone(trial: Trial, state: State, rates: list[float]) -> np.ndarray:
    """‖w‖₂ at first and after each step of the trial's optimiser, from the state on, with a loss gradient of zero."""
    weights = nn.Parameter(state["weights"].clone())
    module = nn.ParameterList([weights])
    optimizer = make_method(trial.setting, trial.seed).configure_optimizer(SimpleNamespace(module=module))
    optimizer.state[weights] = {name: value.clone() for name, value in state.items() if name != "weights"}
    weights.grad = torch.zeros_like(weights)
    path = [weights.detach().norm()]
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        path.append(weights.detach().norm())
    return torch.stack(path).numpy()


def curve(path: Path) -> pd.DataFrame:
    """One channel's two norms at evenly spaced steps and at its last activation; before that, `alone` is NaN."""
    steps = np.unique([*np.linspace(0, len(path.run) - 1, POINTS).round().astype(int), path.last])
    alone = np.concatenate([np.full(path.last, np.nan), path.alone])
    norms = {"run": path.run[steps].astype(float), "alone": alone[steps].astype(float)}
    return pd.DataFrame({"channel": path.channel, "last activation": path.last + 1, "step": steps + 1, **norms})

"""Finds the silent channels of a traced network, and which of them must stay to carry constants."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, fx, nn

from benchmark.trace import CONVOLUTIONS, Trace

UNIFORM = 1e-12  # relative spread below which float64 rounding, not the input, makes a received value vary


@dataclass
class Silence:
    """What can be removed from a network."""

    dead: set[int]  # labels of the channels to remove
    constants: dict[str, np.ndarray]  # by dense layer: what it receives on each input channel, NaN if no constant
    carriers: dict[str, int] = field(default_factory=dict)  # by padded reader: input position that takes the constants
    collapsed: bool = False  # whether a group has no living channel


def find_silence(
    followed: Trace, layers: dict[str, nn.Module], groups: dict[str, np.ndarray], batch: Tensor
) -> Silence:
    """The silent channels of a network in evaluation mode; `layers` are its modules by name, `groups` labels by name.

    A channel is silent if each of its readers receives a constant on it, or reads it with zero weights only.
    """
    constants = _constants(followed, layers, batch)
    used = {name: _nonzero(layers[name]) for name in followed.reads}
    dead = _dead(followed, constants, used, kept=set())
    collapsed = any(dead.issuperset(ids.tolist()) for ids in groups.values())
    kept: set[int] = set()
    while True:
        carriers, missing = _carriers(followed, layers, constants, used, dead)
        empty = next((ids for ids in groups.values() if dead.issuperset(ids.tolist())), None)
        if missing:
            kept.add(_best_carrier(followed, constants, missing))
        elif empty is not None:
            kept.add(int(empty[0]))
        else:
            return Silence(dead, constants, carriers, collapsed)
        dead = _dead(followed, constants, used, kept)


def sees_constants_everywhere(layer: nn.Module) -> bool:
    """Whether a constant input channel adds the same to the layer's output at every position."""
    if isinstance(layer, nn.Linear) or layer.padding_mode != "zeros":
        return True
    if isinstance(layer.padding, str):
        return layer.padding == "valid" or all(k == 1 for k in layer.kernel_size)
    return all(p == 0 for p in layer.padding)


def _nonzero(layer: nn.Module) -> np.ndarray:
    """Whether any weight links each output channel to each input channel."""
    weight = layer.weight.detach()
    return (weight != 0).reshape(*weight.shape[:2], -1).any(-1).cpu().numpy()


def _input_free(followed: Trace, layers: dict[str, nn.Module]) -> dict[str, np.ndarray]:
    """By node, the channels that no path of nonzero weights joins to the network's input."""
    free: dict[str, np.ndarray] = {}
    for step in followed.steps:
        sources = [free[s] for s in step.sources]
        if step.kind == "start":
            free[step.node] = np.zeros(len(followed.labels[step.node].ids), dtype=bool)
        elif step.kind == "dense":
            free[step.node] = ~(_nonzero(layers[step.module]) & ~sources[0]).any(1)
        elif step.kind == "channelwise":
            free[step.node] = sources[0] | _zero_scale(layers[step.module])
        elif step.kind == "concat":
            free[step.node] = np.concatenate(sources)
        elif step.kind == "repeat":
            free[step.node] = np.repeat(sources[0], step.times)
        else:
            free[step.node] = np.logical_and.reduce(sources)
    return free


def _zero_scale(layer: nn.Module) -> np.ndarray | bool:
    if layer.weight is None:
        return False
    return (
        (layer.weight.detach().flatten(1) if layer.weight.dim() > 1 else layer.weight.detach()[:, None])
        .eq(0)
        .all(1)
        .cpu()
        .numpy()
    )


class _Recorder(fx.Interpreter):
    """Keeps what every dense layer receives, as lowest and highest value per input channel over all its calls."""

    def __init__(self, followed: Trace):
        super().__init__(followed.graph)
        self.reads = followed.reads
        self.ranges: dict[str, tuple[Tensor, Tensor]] = {}

    def call_module(self, target: str, args: tuple, kwargs: dict) -> Tensor:
        if target in self.reads:
            axis = 1 if isinstance(self.fetch_attr(target), CONVOLUTIONS) else -1
            flat = args[0].movedim(axis, 0).flatten(1)
            low, high = flat.amin(1), flat.amax(1)
            if target in self.ranges:
                low, high = torch.minimum(low, self.ranges[target][0]), torch.maximum(high, self.ranges[target][1])
            self.ranges[target] = low, high
        return super().call_module(target, args, kwargs)


def _constants(followed: Trace, layers: dict[str, nn.Module], batch: Tensor) -> dict[str, np.ndarray]:
    """By dense layer, the constant it receives on each input channel, NaN where none."""
    recorder = _Recorder(followed)
    with torch.no_grad():
        recorder.run(batch)
    free = _input_free(followed, layers)
    constants = {}
    for name, (low, high) in recorder.ranges.items():
        calls = [free[step.sources[0]] for step in followed.steps if step.kind == "dense" and step.module == name]
        low, high = low.cpu().numpy(), high.cpu().numpy()
        uniform = high - low <= UNIFORM * np.maximum(np.abs(low), np.abs(high))
        constants[name] = np.where(np.logical_and.reduce(calls) & uniform, (low + high) / 2, np.nan)
    return constants


def _dead(followed: Trace, constants: dict, used: dict[str, np.ndarray], kept: set[int]) -> set[int]:
    """The removable channels, the largest set consistent with itself: a removed reader no longer counts as one."""
    candidates = (
        {int(i) for ids in followed.writes.values() for i in ids} - followed.outputs - set(followed.pinned) - kept
    )
    varying = {name: np.isnan(c) for name, c in constants.items()}
    dead: set[int] = set()
    while True:
        alive: set[int] = set()
        for name, ids in followed.reads.items():
            rows = ~np.isin(followed.writes[name], list(dead))
            alive.update(ids[varying[name] & used[name][rows].any(0)].tolist())
        if candidates - alive == dead:
            return dead
        dead = candidates - alive


def _carriers(
    followed: Trace, layers: dict, constants: dict, used: dict[str, np.ndarray], dead: set[int]
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Per padded reader the input position of its carrier; and readers without one: the positions that could be it."""
    carriers, missing = {}, {}
    for name, ids in followed.reads.items():
        if sees_constants_everywhere(layers[name]):
            continue
        rows = ~np.isin(followed.writes[name], list(dead))
        going = np.isin(ids, list(dead))
        constant = np.nan_to_num(constants[name])
        orphans = going & (constant != 0) & used[name][rows].any(0)
        if not orphans.any():
            continue
        staying = np.where(~going, np.abs(constant), 0)
        if staying.any():
            carriers[name] = int(staying.argmax())
        else:
            missing[name] = np.flatnonzero(going & (constant != 0))
    return carriers, missing


def _best_carrier(followed: Trace, constants: dict, missing: dict[str, np.ndarray]) -> int:
    """The channel that serves most of the readers without a carrier; of those, the one that emits most."""
    score: dict[int, tuple[int, float]] = {}
    for name, positions in missing.items():
        for position in positions.tolist():
            label = int(followed.reads[name][position])
            served, strength = score.get(label, (0, 0.0))
            score[label] = served + 1, max(strength, abs(float(constants[name][position])))
    return max(sorted(score), key=score.__getitem__)

"""What a network's cells hold whatever the input and its size, and what its dense layers make of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.removal.labels import Ids, Layer, Mask, Module, Step, Trace, Values
from benchmark.removal.shifts import norms_behind

ROUNDING = 1e-12  # of the largest value a layer receives: below it float64 rounding makes a constant differ from zero


@dataclass(frozen=True)
class Reader:
    """A dense layer as silence sees it."""

    layer: Layer
    reads: Ids  # labels of its input channels
    links: Mask  # outputs × inputs: whether any weight joins them
    constants: Values  # by input: what it receives there, NaN if no constant
    absorbs: bool  # whether it can take constants over without a channel that carries them

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def writes(self) -> Ids:
        return self.layer.writes

    @property
    def blocks(self) -> int:
        return self.layer.blocks


def find_constants(followed: Trace) -> tuple[Mask, list[Reader]]:
    """By cell whether it holds one value for every input of every size, and the dense layers that read them."""
    links = {name: _links(layer.module, layer.blocks) for name, layer in followed.dense.items()}
    constant = np.zeros(len(followed.label), dtype=bool)
    for step in followed.steps:
        if len(step.cells):
            constant[step.cells] = _constant(step, constant, followed, links)
    readers = [
        Reader(layer, layer.reads, links[name], _received(layer, constant, followed.value), _absorbs(followed, layer))
        for name, layer in followed.dense.items()
        if layer.reads is not None
    ]
    return constant, readers


def _constant(step: Step, constant: Mask, followed: Trace, links: dict[str, Mask]) -> Mask:
    """Whether the cells that a step makes are constant, given which of those before them are."""

    def zero(source: Ids) -> Mask:
        found: Mask = constant[source] & (followed.value[source] == 0)
        return found

    def stays(source: Ids) -> Mask:
        match step.border:
            case "none":
                return constant[source]
            case "zeros":
                return zero(source)
            case "other":
                return np.zeros(len(source), dtype=bool)

    found: Mask = np.full(len(step.cells), step.kind == "constant")
    match step.kind:
        case "dense":
            moved = links[step.layer] & ~stays(step.sources[0])  # a mask: picking columns would copy them
            found = np.logical_not(moved.any(1))
        case "scale":
            found = np.where(zero_scale(followed, step), True, stays(step.sources[0]))
        case "map":
            found = np.logical_and.reduce([stays(source) for source in step.sources])
        case "product":
            zeros = np.logical_or.reduce([zero(source) for source in step.sources])
            found = np.logical_and.reduce([stays(source) for source in step.sources]) | zeros
    return found


def _received(layer: Layer, constant: Mask, value: Values) -> Values:
    """By input what a layer receives there at all of its calls, NaN if that is not one constant."""
    inputs = np.array([step.sources[0] for step in layer.calls])
    values = value[inputs]
    largest = np.nan_to_num(np.abs(values)).max(initial=0)
    low, high = values.min(0), values.max(0)
    same = constant[inputs].all(0) & (high - low <= ROUNDING * largest)
    middle = (low + high) / 2
    return np.where(same, np.where(np.abs(middle) > ROUNDING * largest, middle, 0), np.nan)


def _links(module: Module, blocks: int) -> Mask:
    """Whether any weight joins each output channel to each input channel; outputs × inputs."""
    weight = module.weight.detach()
    found: Mask = (weight != 0 if weight.dim() == 2 else weight.flatten(2).any(-1)).cpu().numpy()
    if blocks == 1:
        return found
    outputs, inputs = found.shape
    links = np.zeros((blocks, outputs // blocks, blocks, inputs), dtype=bool)
    links[np.arange(blocks), :, np.arange(blocks)] = found.reshape(blocks, -1, inputs)
    return links.reshape(outputs, blocks * inputs)


def _absorbs(followed: Trace, layer: Layer) -> bool:
    return not layer.bordered and (layer.takes_bias or bool(norms_behind(followed, layer)))


def zero_scale(followed: Trace, step: Step) -> Mask:
    """By channel whether a layer that treats channels alone multiplies it by zero."""
    weight = followed.layers[step.layer].module.weight if "weight" in step.uses else None
    if weight is None:
        return np.zeros(1, dtype=bool)
    found: Mask = weight.detach().reshape(len(weight), -1).eq(0).all(1).cpu().numpy()
    return found

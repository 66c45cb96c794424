"""Searches for an input on which a reduced network differs from the silenced one.

Comparing the two where nothing can differ proves nothing. What makes a wrong reduction pass is an input like the one
that it was derived from: of the same size, in the same batch, with the same units asleep. So the search varies these:

- batches: all of the example, its first samples together, one by one, and more of them, which moves what is computed
  over a batch;
- values: inputs times 0.1 and 10, noise, constant inputs, single positions lit, random token ids;
- sizes: those near the example's that the silenced network accepts, each axis alone, and larger ones, which moves
  borders and poolings;
- ascent: sign-gradient steps of growing length, on r·Δ and −r·Δ for a random direction r of the outputs. A sleeping
  unit gives no gradient, so activations hand theirs straight through: paths that both networks have cancel, and what
  is left points at units that only one of them has. Where nothing is left, noise takes its place, once.

Everything is compared in evaluation mode and float64; nothing is drawn from the global random state. The cost is that
of about 50 forward passes of one sample. Where samples are small there are more of them.

Sources: gradient search for inputs on which networks differ, Pei et al. 2017 (arXiv 1705.06640); sign-gradient steps,
Madry et al. 2018 (arXiv 1706.06083); straight-through gradients, Bengio et al. 2013 (arXiv 1308.3432).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.removal.ascent import StraightThrough, gradients, is_flat, opposed
from benchmark.removal.passes import reason_of
from benchmark.removal.probes import Inputs, Probes, spread

STEPS = (1, 3, 9)  # lengths of the ascent's steps, in standard deviations of the example
NOISE = 1e-9  # of the largest output: smaller ones may be what rounding leaves where others cancel


class RemovalError(ValueError):
    """The reduced network would not equal the silenced one."""


@dataclass(frozen=True)
class Proof:
    """The largest difference that was found, and where it was searched."""

    deviation: float  # largest |Δ| of an output over its largest |value|
    worst: str  # the kind of input that showed it
    tried: dict[str, int]  # samples compared, by kind of input


def attack(silenced: nn.Module, reduced: nn.Module, example: Inputs) -> Proof:
    """Searches for a difference between two networks in evaluation mode and float64; changes neither.

    `example` holds the network's inputs, each N × …. Inputs that the silenced network does not accept do not count.
    Raises RemovalError where the reduced network does not accept one that the silenced network does, and where the
    silenced network's outputs on the example are not finite.
    """
    search = _Search(silenced, reduced)
    probes = Probes(example)
    with torch.no_grad():
        for kind, inputs in probes.batches():
            search.compare(kind, inputs, finite=kind == "example")
        if "example" not in search.tried:
            raise RemovalError("the silenced network does not run on the example, but on its first samples")
        for kind, inputs in (*probes.values(), *probes.sizes()):
            search.compare(kind, inputs)
    _ascend(search, probes)
    return Proof(search.deviation, search.worst, {"example": search.tried["example"], **search.tried})


class _Search:
    """Two networks, and the largest difference found between them."""

    def __init__(self, silenced: nn.Module, reduced: nn.Module):
        self.silenced, self.reduced = silenced, reduced
        self.deviation, self.worst = 0.0, "none"
        self.scales: list[float] = []
        self.tried: Counter[str] = Counter()

    def compare(self, kind: str, inputs: Inputs, finite: bool = False) -> tuple[list[Tensor], list[Tensor]] | None:
        """Both networks' outputs, or None where the silenced network does not accept the inputs."""
        try:
            expected = tensors(self.silenced(*_copies(inputs)))
        except Exception:
            return None
        if finite:
            _check_finite(expected, self.silenced)
        try:
            found = tensors(self.reduced(*_copies(inputs)))
        except Exception as error:
            raise RemovalError(f"the reduced network does not run on {kind}: {reason_of(error)}") from error
        self.tried[kind] += len(inputs[0])
        # Relative to the first, ordinary batch at least: rounding is no difference where all outputs happen to cancel.
        self.scales = self.scales or [*map(largest, expected)]
        deviation = relative(found, expected, self.scales)
        if deviation >= self.deviation:
            self.deviation, self.worst = deviation, kind
        return expected, found


def _check_finite(outputs: list[Tensor], silenced: nn.Module) -> None:
    if all(torch.isfinite(y).all() for y in outputs):
        return
    broken = [name for name, tensor in silenced.state_dict().items() if not torch.isfinite(tensor).all()]
    cause = f": {broken[0]} holds NaN or infinite values" if broken else ""
    raise RemovalError(f"the silenced network's outputs are not finite{cause}")


def _ascend(search: _Search, probes: Probes) -> None:
    """Steps up r·Δ from the first samples and up −r·Δ from the same, comparing at every step."""
    half = tuple(x[: max(1, probes.samples // 2)] for x in probes.few)
    inputs = tuple(torch.cat([x, x]) for x in half)
    directions: list[Tensor] = []
    seen_flat = False
    for step in STEPS:
        inputs = tuple(x.detach().requires_grad_(x.is_floating_point()) for x in inputs)
        with torch.enable_grad(), StraightThrough():
            compared = search.compare("ascent", inputs)
        if compared is None:
            return
        directions = directions or [opposed(y, probes.generator) for y in compared[0]]
        own, other = (gradients(outputs, directions, inputs) for outputs in compared)
        flat = is_flat(own, other)
        if flat and seen_flat:
            return
        seen_flat |= flat
        inputs = tuple(
            x.detach() + step * spread(x.detach()) * (g - h).sign() if x.requires_grad and not flat else probes.noise(x)
            for x, g, h in zip(inputs, own, other, strict=True)
        )
    with torch.no_grad():
        search.compare("ascent", inputs)


def tensors(outputs: Any, decisions: bool = True) -> list[Tensor]:
    """The tensors, as real ones, in a network's outputs: one, or tuples, lists and dicts of them.

    Without `decisions` those of whole numbers and truth values are left out.
    """
    if isinstance(outputs, Tensor):
        if outputs.is_complex():
            return [torch.view_as_real(outputs.resolve_conj())]
        if outputs.is_floating_point():
            return [outputs]
        return [outputs.double()] if decisions else []
    values = outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, tuple | list) else ()
    return [tensor for value in values for tensor in tensors(value, decisions)]


def relative(found: list[Tensor], expected: list[Tensor], scales: Sequence[float] = (), noise: float = NOISE) -> float:
    """The largest difference of an output over its own largest value, here or in `scales`; over 1 where all are 0.

    So a large output hides nothing of a small one, but of one that is `noise` beside it.
    """
    if len(found) != len(expected):
        return float("inf")
    values = [max(pair) for pair in zip(map(largest, expected), [*scales, *[0.0] * len(expected)], strict=False)]
    least = noise * max(values, default=0.0)
    pairs = zip(found, expected, values, strict=True)
    return max((difference(a, b) / (max(value, least) or 1.0) for a, b, value in pairs), default=0.0)


def largest(output: Tensor) -> float:
    """The largest finite absolute value."""
    finite = output[output.isfinite()]
    return finite.abs().max().item() if finite.numel() else 0.0


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest absolute difference; infinite where shapes, or what is finite, differ."""
    if found.shape != expected.shape:
        return float("inf")
    same = (found == expected) | (found.isnan() & expected.isnan())
    gap = torch.where(same, 0.0, (found - expected).abs()).nan_to_num(nan=float("inf"), posinf=float("inf"))
    return gap.max().item() if gap.numel() else 0.0


def _copies(inputs: Inputs) -> Inputs:
    """What a network may change in place."""
    return tuple(x.clone() for x in inputs)

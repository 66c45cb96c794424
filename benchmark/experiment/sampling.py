"""What a sampler chooses of a method's hyperparameters, in place of the points of its knob."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError
from benchmark.method.domains import Real, Sampled, Variant
from benchmark.method.registry import get_method

if TYPE_CHECKING:
    from benchmark.experiment.study import Slot, Study


def space(study: Study, label: str) -> dict[str, Sampled]:
    """What a sampler chooses for a label: the method's hyperparameters without those that its table fixes.

    Raises UsageError for what the method does not accept, and for a range from 0 of what is drawn by its ratios.
    """
    name, fixed, points = study.table(label)
    method = get_method(name)
    drawn = {k: d for k, d in method.space.items() if isinstance(d, Sampled) and not isinstance(d, Variant)}
    domains = {k: d for k, d in drawn.items() if d.default is not None}
    knob, free = method.knob, {k: d for k, d in domains.items() if k not in fixed}
    if knob is None or not points:
        study.setting(label, {})
        return free
    for point in points:
        study.setting(label, {knob: point})
    domain = free[knob]
    if isinstance(domain, Real):
        if domain.log and min(points) <= 0:
            raise UsageError(
                f"study {study.name!r}: [methods.{label}]: {knob!r} is drawn by ratios, so its range begins above 0"
            )
        free[knob] = domain.within(tuple(map(float, points)))
    return free


def draw(study: Study, slot: Slot, index: int) -> dict[str, Any]:
    """The values of one sample: they depend on slot and index alone, so more samples keep the earlier ones."""
    import numpy as np

    name = hashlib.sha256(f"{slot.task.name}/{slot.label}".encode()).digest()
    entropy = [slot.seed, index, int.from_bytes(name[:8])]
    generator = np.random.default_rng(np.random.SeedSequence(entropy))
    return {key: domain.sample(generator) for key, domain in space(study, slot.label).items()}

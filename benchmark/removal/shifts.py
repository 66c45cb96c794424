"""Where a constant added to a layer's output can go: its bias, or the running means of the norms behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.removal.labels import Ids, Layer, Step, Trace


@dataclass(frozen=True)
class Shift:
    """A norm that receives a layer's outputs: channels at `places` of the norm come from `outputs` of the layer."""

    norm: Layer
    places: Ids
    outputs: Ids


def norms_behind(followed: Trace, layer: Layer) -> list[Shift]:
    """The batch norms that alone receive a layer's outputs; none if others do too, or either is called twice."""
    if len(layer.calls) > 1:
        return []
    maker, users = followed.makers, followed.users
    shifts = []
    pending = [(int(maker[layer.calls[0].cells[0]]), np.arange(len(layer.writes)))]
    while pending:
        index, outputs = pending.pop()
        first = followed.steps[index].cells[0]  # the cells that a step makes are in a row
        for user in (followed.steps[i] for i in users[index]):
            if user.kind not in ("scale", "map") or len(user.sources) > 1:
                return []
            here = maker[user.sources[0]] == index
            origins = outputs[user.sources[0][here] - first]
            if user.kind == "scale":
                norm = followed.layers[user.layer]
                if not norm.is_norm or len(norm.calls) > 1 or not _shifts_by_mean(followed, user):
                    return []
                shifts.append(Shift(norm, np.flatnonzero(here), origins))
            elif user.shifts and here.all():
                pending.append((int(maker[user.cells[0]]), origins))
            else:
                return []
    return shifts


def _shifts_by_mean(followed: Trace, step: Step) -> bool:
    """Whether a norm subtracts a running mean, which nothing else uses."""
    buffers = followed.layers[step.layer].module._buffers
    own = buffers.get("running_mean") is not None and (step.layer, "running_mean") not in followed.elsewhere
    return own and "running_mean" in step.uses

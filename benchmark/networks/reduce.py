"""Reduces a network of the user's own: silences the channels below a threshold and removes them exactly."""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmark.errors import UsageError, first_line
from benchmark.networks.checkpoint import load_file
from benchmark.networks.measure import logits, macs, parameters
from benchmark.removal.exact import Removal, remove_silent
from benchmark.removal.groups import Net, check_removable, find_groups


@dataclass(frozen=True)
class Reduction:
    """A reduced network of the user's, and what the reduction did."""

    removal: Removal
    change: float  # largest relative |Δlogit| that silencing itself caused, before anything was removed
    parameters: tuple[int, int]  # before and after
    macs: tuple[int, int]


def build_network(factory: str, checkpoint: str | Path | None = None) -> nn.Module:
    """What `MODULE:FUNCTION`, called without arguments, returns, with the weights of a checkpoint (a state dict).

    MODULE is imported from the working directory or the environment. Raises UsageError if there is no such function, it
    or its module fails, it returns no module, or the checkpoint does not fit.
    """
    function = _import(factory)
    try:
        network = function()
    except (Exception, SystemExit) as error:
        raise UsageError(f"{factory}() fails: {_explained(error)}") from None
    if not isinstance(network, nn.Module):
        raise UsageError(f"{factory} returns a {type(network).__name__}, not a torch.nn.Module")
    if checkpoint is not None:
        load_file(network, Path(checkpoint))
    return network


def _import(factory: str) -> Callable[[], Any]:
    location, _, name = factory.partition(":")
    if not location or not name:
        raise UsageError(f"{factory!r} is no MODULE:FUNCTION, such as my_nets:vgg")
    if location.endswith(".py"):
        module = ".".join(Path(location).with_suffix("").parts)
        raise UsageError(f"{factory!r} is no MODULE:FUNCTION; did you mean '{module}:{name}'?")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(location), name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{factory!r} is no MODULE:FUNCTION that can be imported: {_explained(error)}") from None
    if not callable(function):
        raise UsageError(f"{factory} is a {type(function).__name__}, not a function that returns your network")
    return function


def _explained(error: BaseException) -> str:
    place = f" (line {error.lineno} of {error.filename})" if isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}: {first_line(error)}{place}"


def reduce_network(network: nn.Module, threshold: float, images: Tensor) -> Reduction:
    """Removes every channel whose incoming weights have a 2-norm below `threshold` (ξ); leaves `network` as it is.

    `images` (N × C × H × W) are what the removal is proven on. Raises UsageError if nothing can be removed exactly, no
    channel is below the threshold, or all channels of a group are.
    """
    try:
        silenced = copy.deepcopy(network).eval()
        net = find_groups(silenced, images)
        check_removable(net)
        _silence(net, threshold)
        removal = remove_silent(silenced, images)
    except (ValueError, SystemExit) as error:  # the second from a forward of the user's
        raise UsageError(f"{type(error).__name__}: {error}" if isinstance(error, SystemExit) else str(error)) from error
    before, after = logits(network, images), logits(silenced, images)
    return Reduction(
        removal,
        change=(after - before).abs().max().item() / (before.abs().max().item() or 1.0),
        parameters=(parameters(network), parameters(removal.module)),
        macs=(macs(network, images), macs(removal.module, images)),
    )


def _silence(net: Net, threshold: float) -> None:
    norms = {group.name: group.incoming_norms() for group in net.groups}
    least = min(n.min().item() for n in norms.values())
    if not any((n < threshold).any() for n in norms.values()):
        raise UsageError(f"no channel has an incoming norm below {threshold:g}; the smallest is {least:.3g}")
    for group in net.groups:
        doomed = norms[group.name] < threshold
        if doomed.all():
            largest = norms[group.name].max().item()
            raise UsageError(
                f"all {group.size} channels of {group.name} are below {threshold:g}; its largest norm is {largest:.3g}"
            )
        group.zero_incoming(doomed)

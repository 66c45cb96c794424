"""The adapters' address: all that a method's file imports from the benchmark.

What needs torch is loaded when it is first asked for: a command that only names methods does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmark.method.domains import Choice, Domain, Real, Text, Threshold, Variant

if TYPE_CHECKING:
    from benchmark.method.interface import DESCENT, OPTIMIZERS, Method, training
    from benchmark.method.weights import (
        adam_metric,
        channel_sum,
        columns,
        incoming_rows,
        lowest,
        lowest_channels,
        pools,
        rows,
        scope,
        share_of,
        shrink,
        shrink_outgoing,
        silence_lowest,
        soft_threshold,
        write_incoming_rows,
    )
    from benchmark.removal.groups import Net

__all__ = [
    "DESCENT", "OPTIMIZERS", "Choice", "Domain", "Method", "Net", "Real", "Text", "Threshold", "Variant",
    "adam_metric", "channel_sum", "columns", "incoming_rows", "lowest", "lowest_channels", "pools", "rows", "scope",
    "share_of", "shrink", "shrink_outgoing", "silence_lowest", "soft_threshold", "training", "write_incoming_rows",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in ("benchmark.method.interface", "benchmark.method.weights", "benchmark.removal.groups"):
            if hasattr(import_module(home), name):
                return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

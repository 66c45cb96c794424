"""The adapters' address: all that a method's file imports from the benchmark."""

from benchmark.method.domains import Choice, Domain, Real
from benchmark.method.interface import DESCENT, OPTIMIZERS, Method, training
from benchmark.method.weights import (
    adam_metric,
    channel_sum,
    columns,
    incoming_rows,
    lowest,
    rows,
    shrink,
    silence_lowest,
    soft_threshold,
)
from benchmark.removal.groups import Net

__all__ = [
    "DESCENT", "OPTIMIZERS", "Choice", "Domain", "Method", "Net", "Real", "adam_metric", "channel_sum", "columns",
    "incoming_rows", "lowest", "rows", "shrink", "silence_lowest", "soft_threshold", "training",
]  # fmt: skip

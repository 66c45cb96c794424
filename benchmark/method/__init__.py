"""The adapters' address: all that a method's file imports from the benchmark."""

from benchmark.method.domains import Choice, Domain, Real
from benchmark.method.interface import OPTIMIZERS, Method, training
from benchmark.method.weights import channel_sum, lowest, rows, shrink, silence_lowest, soft_threshold
from benchmark.removal.groups import Net

__all__ = [
    "OPTIMIZERS", "Choice", "Domain", "Method", "Net", "Real", "channel_sum", "lowest", "rows", "shrink",
    "silence_lowest", "soft_threshold", "training",
]  # fmt: skip

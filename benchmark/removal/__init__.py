"""Exact removal of silent channels."""

from benchmark.removal.exact import Removal, remove_silent
from benchmark.removal.proof import RemovalError

__all__ = ["Removal", "RemovalError", "remove_silent"]

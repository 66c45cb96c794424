"""Exact removal of silent channels."""

from benchmark.removal.exact import Removal, RemovalError, remove_silent

__all__ = ["Removal", "RemovalError", "remove_silent"]

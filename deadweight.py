"""What others build on: exact removal, reduced networks read back, and what a method of one's own is written with."""

from benchmark.method import Choice, Method, Net, Real, Text, Threshold, training
from benchmark.networks.export import load
from benchmark.removal.exact import Removal, remove_silent

__all__ = ["Choice", "Method", "Net", "Real", "Removal", "Text", "Threshold", "load", "remove_silent", "training"]

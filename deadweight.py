"""What a user of reduced networks needs: `deadweight.load` and the exact removal itself."""

from benchmark.networks.export import load
from benchmark.removal.exact import Removal, remove_silent

__all__ = ["Removal", "load", "remove_silent"]

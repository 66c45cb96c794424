"""What a user of reduced networks needs: `deadweight.load` and the exact removal itself."""

from benchmark.export import load
from benchmark.removal import Removal, remove_silent

__all__ = ["Removal", "load", "remove_silent"]

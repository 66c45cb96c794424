"""How reduced networks come from workers to the driver: through an actor on its machine, beside Tune's results.

Tune would hold on to every network that a result carries until the sweep ends.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmark.runner.ray_import import ray

Packed = bytes | str


class Shelf:
    """Holds what was sent until it is taken; of a trial that runs again the last."""

    def __init__(self) -> None:
        self.held: dict[str, Packed] = {}

    def put(self, key: str, packed: Packed) -> None:
        """Takes what belongs to a record."""
        self.held[key] = packed

    def take(self, key: str) -> Packed | None:
        """Hands over what belongs to a record, None where nothing came."""
        return self.held.pop(key, None)


@dataclass(frozen=True)
class Post:
    """A shelf that workers send to and the driver takes from; None: nothing is to be kept.

    What is lost with the shelf's process is only a copy: a record without its network is a record.
    """

    shelf: Any = None

    @classmethod
    def open(cls) -> Post:
        """A shelf on this machine of the running Ray."""
        here = ray.get_runtime_context().get_node_id()
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        return cls(ray.remote(num_cpus=0)(Shelf).options(scheduling_strategy=strategy).remote())

    def send(self, key: str, packed: Packed) -> None:
        """Sends what belongs to a record, before that is handed over."""
        if self.shelf is not None:
            with suppress(ray.exceptions.RayError):
                ray.get(self.shelf.put.remote(key, packed))

    def take(self, key: str) -> Packed | None:
        """What belongs to a record, None where nothing came."""
        if self.shelf is not None:
            with suppress(ray.exceptions.RayError):
                return ray.get(self.shelf.take.remote(key))
        return None

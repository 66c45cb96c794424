"""States on a cluster: they travel to the driver's disk, and from there to whichever machine goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmark.errors import UsageError
from benchmark.runner.in_process import Resources
from benchmark.runner.machines import reason
from benchmark.runner.ray_import import ray
from benchmark.runner.states import StateFolder, Storage


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of the driver's machine, by way of a process there."""

    there: Any

    def read(self, name: str) -> bytes | None:
        """See `Storage`."""
        return self._ask(self.there.read, name)

    def write(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        self._ask(self.there.write, name, content)

    def _ask(self, method: Any, *arguments: Any) -> Any:
        try:
            return ray.get(method.remote(*arguments))
        except ray.exceptions.RayError as error:
            raise UsageError(f"of the driver's machine: {reason(error)}") from None


def storage_of(folder: StateFolder, resources: Resources) -> Storage:
    """The folder as workers reach it: on this machine as it is, on a cluster through a process beside the driver."""
    if resources.address is None:
        return folder
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    return RemoteFolder(ray.remote(num_cpus=0)(StateFolder).options(scheduling_strategy=here).remote(folder.folder))

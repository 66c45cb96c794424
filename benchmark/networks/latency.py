"""Measures what a network costs to run: latency and memory. Run it alone on the machine, never beside training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.networks.measure import evaluating

BATCHES = (1, 64)


def latency(module: nn.Module, images: Tensor, threads: int, seconds: float = 1.0) -> float:
    """Median seconds of a forward pass on the batch `images` in evaluation mode, warm, over at least `seconds`."""
    from torch.utils.benchmark import Timer  # imported late: it warns where CUDA's compiler is and a GPU is not

    timer = Timer("module(images)", globals={"module": module, "images": images}, num_threads=threads)
    with evaluating(module), torch.inference_mode():
        timer.timeit(3)
        return timer.blocked_autorange(min_run_time=seconds).median


def latencies(module: nn.Module, shape: tuple[int, ...], seconds: float = 1.0) -> dict[str, float]:
    """Latency at batch 1 and 64 on one thread and on all, in seconds; `shape` is one sample's (C, H, W)."""
    device = next(module.parameters()).device
    generator = torch.Generator().manual_seed(0)
    found = {}
    for batch in BATCHES:
        images = torch.randn(batch, *shape, generator=generator).to(device)
        for threads in sorted({1, torch.get_num_threads()}):
            found[f"batch {batch}, {threads} threads"] = latency(module, images, threads, seconds)
    return found


@torch.no_grad()
def peak_activation_memory(module: nn.Module, images: Tensor) -> int:
    """Most bytes that input and activations of a forward pass in evaluation mode take at one time, without weights.

    Counts the tensors that operations return, not what a kernel uses inside, so it is the same on every machine.
    """
    weights = {StorageWeakRef(t.untyped_storage()) for t in (*module.parameters(), *module.buffers())}
    with evaluating(module), _LiveMemory(images, weights) as memory:
        module(images)
    return memory.peak


class _LiveMemory(TorchDispatchMode):
    """Follows how many bytes of tensors are alive while operations run."""

    def __init__(self, images: Tensor, ignored: set[StorageWeakRef]):
        super().__init__()
        self.ignored = ignored
        self.alive: dict[StorageWeakRef, int] = {}
        self.peak = 0
        self._enter(images)

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._enter(leaf)
        self.alive = {storage: size for storage, size in self.alive.items() if not storage.expired()}
        self.peak = max(self.peak, sum(self.alive.values()))
        return result

    def _enter(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if StorageWeakRef(storage) not in self.ignored:
            self.alive[StorageWeakRef(storage)] = storage.nbytes()

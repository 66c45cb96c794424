"""How fast removal is, and what it gains at inference. Run with: pytest tests/performance --benchmark-only

Measured as medians by pytest-benchmark; latency by torch.utils.benchmark, warm, on an otherwise idle machine.
"""

from __future__ import annotations

import copy
import time
from statistics import median

import pytest
import torch
import torch_pruning

from benchmark.networks import measure
from benchmark.networks.build import build
from benchmark.networks.latency import latency
from benchmark.removal import exact
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups
from benchmark.removal.proof import Proof

BATCH = 64


def half_silent(network: str, shape: tuple[int, ...], **options):
    module = build(network, shape, 10, seed=0, **options).eval()
    images = torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(0))
    for group in find_groups(module, images[:2]).groups:
        group.zero_incoming(torch.arange(group.size) % 2 == 0)
    return module, images


def test_an_mlp_is_reduced_in_milliseconds(benchmark):
    """A study does this thousands of times; the aim is 10 ms."""
    module, images = half_silent("mlp", (1, 8, 8), widths=(256,))
    removal = benchmark(remove_silent, module, images)
    assert removal.channels_left == {"1": 128}


def test_vgg16_is_reduced(benchmark):
    module, images = half_silent("vgg16", (3, 32, 32))
    removal = benchmark.pedantic(remove_silent, (module, images[:2]), rounds=3, warmup_rounds=1)
    assert removal.deviation <= 1e-9


@pytest.mark.parametrize("side", ["silenced", "reduced"])
def test_vgg16_half_removed_at_batch_64(benchmark, side):
    """`speed_up_over_promise`: the speed-up over the one that the multiply-accumulates promise; the aim is 0.8."""
    module, images = half_silent("vgg16", (3, 32, 32))
    reduced = remove_silent(module, images[:2]).module
    timed = module if side == "silenced" else reduced
    with torch.inference_mode():
        benchmark.pedantic(timed, (images,), rounds=5, warmup_rounds=1)
    if side == "reduced":
        threads = torch.get_num_threads()
        promise = measure.macs(module, images) / measure.macs(reduced, images)
        speed_up = latency(module, images, threads) / latency(reduced, images, threads)
        benchmark.extra_info |= {"promise": promise, "speed_up": speed_up, "speed_up_over_promise": speed_up / promise}
        print(f"\nspeed-up {speed_up:.2f}, promised {promise:.2f}, ratio {speed_up / promise:.2f}, {threads} threads")
        assert speed_up > 1


def torch_pruning_removes(module, images) -> None:
    """The same channels, from torch-pruning's own trace, with no constant handed over and nothing proved."""
    graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=images)
    for group in list(graph.get_all_groups(ignored_layers=[list(module.modules())[-1]])):
        dependency, positions = group[0]
        graph.get_pruning_group(dependency.target.module, dependency.handler, positions[::2]).prune()


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16_bn", "mobilenet_v2", "densenet121"])
def test_removal_beside_torch_pruning(benchmark, monkeypatch, name):
    """Seconds of this process, half of all channels gone: with the search for a difference, without, torch-pruning."""
    module, images = half_silent(f"torchvision:{name}", (3, 64, 64))
    search = exact.attack

    def seconds(remove, *arguments) -> float:
        start = time.process_time()
        remove(*arguments)
        return time.process_time() - start

    with_search = benchmark.pedantic(seconds, (remove_silent, module, images[:2]), rounds=1, warmup_rounds=1)
    monkeypatch.setattr(exact, "attack", lambda *networks: Proof(0.0, "none", {"example": 2}))
    turns = [
        (seconds(remove_silent, module, images[:2]), seconds(torch_pruning_removes, copy.deepcopy(module), images[:2]))
        for _ in range(9)
    ]
    without, theirs = map(median, zip(*turns, strict=True))
    monkeypatch.setattr(exact, "attack", search)
    benchmark.extra_info |= {"with": with_search, "without": without, "torch_pruning": theirs}
    print(f"\n| {name} | {with_search:.2f} | {without:.2f} | {theirs:.2f} | {without / theirs:.1f} |")
    assert without < with_search

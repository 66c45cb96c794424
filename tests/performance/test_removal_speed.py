"""How fast removal is, and what it gains at inference. Run with: pytest tests/performance --benchmark-only

Measured as medians by pytest-benchmark; latency by torch.utils.benchmark, warm, on an otherwise idle machine.
"""

from __future__ import annotations

import pytest
import torch

from benchmark.networks import measure
from benchmark.networks.build import build
from benchmark.networks.latency import latency
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups

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

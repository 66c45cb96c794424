"""Whatever is removed from networks that do what makes removal hard, nothing changes, at any size.

    pytest tests/removal/test_wild_networks.py --networks 1000

tries more of them than the suite does.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from benchmark.removal.exact import RemovalError, remove_silent
from benchmark.removal.labels import UntraceableError
from tests.support.wild_networks import RARE, SIDE, Wild, inputs_of, wild_network

SIZES = (SIDE, SIDE - 2, SIDE + 5)
SCALES = (1, 20, 10 * RARE)  # the larger ones wake units that sleep on ordinary inputs


def flat(outputs) -> Tensor:
    """Every output of a network in one vector."""
    values = outputs.values() if isinstance(outputs, dict) else [outputs] if isinstance(outputs, Tensor) else outputs
    return torch.cat([flat(value) if not isinstance(value, Tensor) else value.flatten() for value in values])


def deviation(reduced: Wild, silenced: Wild, inputs: tuple[Tensor, ...]) -> float:
    expected, found = (flat(network(*[x.clone() for x in inputs])) for network in (silenced, reduced))
    return ((found - expected).abs().max() / expected.abs().max()).item()


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--networks")))


def reduced_or_refused(seed: int):
    """The silenced network, its removal and its inputs' widths; the removal is None where the network is refused."""
    network, widths = wild_network(seed)
    example = inputs_of(widths, SIDE, 6, seed)
    try:
        return network, remove_silent(network, example[0] if len(example) == 1 else example), widths
    except (UntraceableError, RemovalError):
        return network, None, widths


@torch.no_grad()
def test_a_network_is_exact_at_three_sizes_or_refused(seed):
    network, removal, widths = reduced_or_refused(seed)
    if removal is None:
        return
    assert removal.deviation <= 1e-9
    for size in SIZES:
        for scale in SCALES:
            for count in (1, 5):
                inputs = inputs_of(widths, size, count, seed=1000 + seed, scale=scale)
                assert deviation(removal.module, copy.deepcopy(network), inputs) <= 1e-9


def test_most_networks_are_reduced_and_few_are_refused():
    removals = [reduced_or_refused(seed)[1] for seed in range(40)]
    refused = sum(removal is None for removal in removals)
    smaller = sum(removal is not None and removal.channels != removal.channels_left for removal in removals)
    assert refused <= 20, f"{refused} of 40 refused"
    assert smaller >= 15, f"{smaller} of 40 smaller"

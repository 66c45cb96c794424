import pytest

from benchmark.method.registry import registry
from benchmark.runner import conformance

METHODS = sorted(registry().methods)


def test_methods_are_found_and_none_is_broken():
    assert {"dense", "implicit", "l1", "group_lasso", "magnitude_filter", "network_slimming", "random_filter"} <= set(
        METHODS
    )
    assert registry().broken == {}


@pytest.mark.parametrize("method", METHODS)
def test_method_conforms(method):
    assert {rule: problem for rule, problem in conformance.check(method).items() if problem} == {}


@pytest.mark.parametrize(
    ("method", "rule", "words"),
    [
        ("raises", "learns the simulated task", "RuntimeError: deliberate"),
        ("diverges", "gradients stay finite", "DivergedError: loss nan"),
        ("unnamed", "metadata is complete", "reference is still the template's"),
        ("prunes_all", "the knob removes", "no knob and yet removed"),
        ("dies", "learns the simulated task", "ended as failed: SystemExit: 1"),
        ("meddles", "leaves no trace", "a trial changed torch.nn.functional.cross_entropy: set nothing outside"),
    ],
)
def test_violation_is_explained(faulty_methods, method, rule, words):
    try:
        problem = conformance.check(method)[rule]
    finally:
        conformance._run.cache_clear()
    assert words in problem

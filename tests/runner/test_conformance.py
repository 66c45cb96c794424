from functools import partial
from itertools import count

import pytest

from benchmark.method.registry import registry
from benchmark.runner import conformance, interruptions
from benchmark.runner.states import Kept

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
        ("hides", "goes on where it was broken off", "differs between a run that was broken off and one that was not"),
        ("meddles", "leaves no trace", "a trial changed torch.nn.functional.cross_entropy: set nothing outside"),
    ],
)
def test_violation_is_explained(faulty_methods, method, rule, words):
    try:
        problem = conformance.check(method)[rule]
    finally:
        conformance._run.cache_clear()
    assert words in problem


def test_a_method_whose_state_cannot_be_captured_conforms(monkeypatch):
    kind = registry().methods["dense"]
    monkeypatch.setattr(kind, "prepare", lambda self, net, steps: setattr(self, "cached", {1}))
    try:
        assert conformance.check_rule("dense", "goes on where it was broken off") is None
    finally:
        conformance._run.cache_clear()


def test_a_method_is_not_broken_off_for_ever(monkeypatch):
    """Where no state that was written can be used, each run begins anew."""
    monkeypatch.setattr(interruptions, "Kept", partial(replace_made, count()))
    assert conformance.check_rule("dense", "goes on where it was broken off") is None


def replace_made(numbers, *arguments, **options):
    storage, key, device, _, say = arguments
    return Kept(storage, key, device, lambda: {"code": str(next(numbers))}, say, **options)

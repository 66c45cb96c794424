"""Which trials count as hanging."""

import pytest

from benchmark.runner.limits import LEAST, TIMES, Limits, base_kind, kind
from tests.runner.test_trial import make


def test_without_a_limit_there_is_none_until_one_of_the_kind_has_ended():
    limits, of = Limits(None), kind(make("dense"))
    assert limits.exceeded(of, 1e9) is None
    limits.learn(of, 100.0)
    limits.learn(of, 10.0)  # the longest counts
    assert limits.exceeded(of, LEAST + TIMES * 100) is None
    assert limits.exceeded(of, LEAST + TIMES * 100 + 1) == "it ran longer than 63.3 minutes"


def test_a_quick_kind_sets_no_limit_for_a_slow_one():
    """What is only pruned takes seconds, what is trained on another task hours."""
    limits, pruned = Limits(None), make("magnitude_filter")
    limits.learn(kind(pruned), 1.0)
    trained = make("dense")
    other = trained.task.model_copy(update={"network": "vgg11"})
    for slow in (kind(trained), base_kind(pruned), kind(trained.model_copy(update={"task": other}))):
        assert limits.exceeded(slow, 1e9) is None


@pytest.mark.parametrize("seconds", [1.0, 1e6])
def test_a_limit_that_is_set_holds_for_all(seconds):
    limits, of = Limits(2.0), kind(make("dense"))
    limits.learn(of, seconds)
    assert limits.exceeded(of, 120.0) is None
    assert limits.exceeded(of, 120.1) == "it ran longer than 2 minutes"

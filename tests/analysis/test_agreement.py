"""How far a second run agrees with the first."""

import numpy as np
import pytest

from benchmark.analysis.agreement import agreement
from benchmark.analysis.changes import match
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from tests.conftest import TINY
from tests.support.made_records import failure, result

ACCURACIES = [0.80, 0.82, 0.84]  # of the seeds


@pytest.fixture
def trials(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace("[0, 1]", "[0, 1, 2]"))
    return load_study(str(path)).trials()


def first_run(trials):
    return [result(t, channels=100, test_accuracy=ACCURACIES[t.seed]) for t in trials]


def judged(trials, **changed):
    """Seed 0 again; its first trial as `changed` says."""
    before = first_run(trials)
    again = [r for r in before if r.seed == 0]
    again[0] = again[0].model_copy(update=changed)
    found = match(before, again)
    return agreement(found.pairs, before)


@pytest.mark.parametrize("accuracy", [0.82, 0.84])
def test_a_result_between_those_of_the_seeds_is_within_their_spread(trials, accuracy):
    found = judged(trials, test_accuracy=accuracy)
    assert (len(found.within), len(found.apart)) == (1, 0)
    assert len(found.same) == len([t for t in trials if t.seed == 0]) - 1


@pytest.mark.parametrize(
    "changed",
    [{"test_accuracy": 0.79}, {"test_accuracy": 0.85}, {"param_sparsity": 0.99}, {"status": "collapsed"}],
)
def test_a_result_beyond_them_or_that_ended_otherwise_is_apart(trials, changed):
    found = judged(trials, **changed)
    assert (len(found.within), len(found.apart)) == (0, 1)


def test_a_failure_is_apart(trials):
    before = first_run(trials)
    found = match(before, [failure(trials[0])])
    assert len(agreement(found.pairs, before).apart) == 1


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_as_many_are_apart_by_chance_as_are_when_every_result_is_a_new_draw(seeds):
    """Simulated: two measures of `seeds` first results, a new result each; independent measures, and equal ones."""
    rng = np.random.default_rng(0)
    low, high = 2 / (seeds + 1), min(1.0, 4 / (seeds + 1))
    for draws in (rng.random((20_000, seeds + 1, 2)), rng.random((20_000, seeds + 1, 1))):
        first, new = draws[:, :seeds], draws[:, seeds]
        outside = ((new < first.min(1)) | (new > first.max(1))).any(1).mean()
        assert min(low, 1.0) - 0.015 <= outside <= high + 0.015


def test_what_chance_puts_apart_is_counted_over_the_trials_that_differ(trials):
    found = judged(trials, test_accuracy=0.79)
    assert found.by_chance == (2 / 4, 1.0)
    assert judged(trials).by_chance == (0.0, 0.0)


@pytest.mark.parametrize(
    ("cpu", "words"), [("another", "on another machine"), ("made up", "raise the method's version")]
)
def test_another_processor_is_named_as_what_may_have_changed_results(deadweight, trials, tmp_path, cpu, words):
    before = [r.model_copy(update={"provenance": r.provenance | {"cpu": "made up"}}) for r in first_run(trials)]
    again = [r.model_copy(update={"provenance": r.provenance | {"cpu": cpu}}) for r in before]
    again[0] = again[0].model_copy(update={"test_accuracy": 0.79})
    for name, records in {"a": before, "b": again}.items():
        (tmp_path / name).mkdir()
        for record in records:
            Store(tmp_path / name).append(record)
    _, out, _ = deadweight("compare", "a", "b")
    assert f"computed on {cpu}" in out
    assert words in out
    assert "1 apart" in out


def test_seeds_that_were_not_run_are_neither_lost_nor_compared(deadweight, trials, tmp_path):
    before = first_run(trials)
    sides = {"a": before, "b": [r for r in before if r.seed == 0]}
    for name, records in sides.items():
        (tmp_path / name).mkdir()
        for record in records:
            Store(tmp_path / name).append(record)
    code, out, _ = deadweight("compare", "a", "b")
    one = len(sides["b"])
    assert code == 0
    assert "0 lost" in out
    assert f"not in B: {2 * one} trials of the seeds 1; 2" in out
    assert out.splitlines()[-1] == (
        f"agreement of {one} trials: {one} the same in every number, 0 within the spread of A's seeds, 0 apart"
    )

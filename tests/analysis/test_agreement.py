"""How far a second run agrees with the first."""

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

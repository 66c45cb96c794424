"""How trials are handed to workers: all, once each, in their order, and only short ones together."""

from hypothesis import given
from hypothesis import strategies as st

from benchmark.runner import lots as lots_module
from benchmark.runner.lots import LASTS, Lots, trials_of
from benchmark.runner.ray_import import tune
from tests.runner.test_trial import make

FINISHED = tune.search.Searcher.FINISHED
LABELS = ("dense", "implicit")


def handed(lots, seconds, part=10**9):
    """The seeds of every lot, where each trial takes what `seconds` says of its method, and each lot ends at once."""
    found = []
    while True:
        config = lots.suggest(str(len(found)))
        if config == FINISHED:
            return found
        lot = trials_of(config)
        found.append([(trial.label, trial.seed) for trial in lot])
        took = [seconds[trial.label] for trial in lot][:part]
        lots.on_trial_complete(str(len(found) - 1), {"seconds": took})


def test_the_first_of_a_kind_runs_alone_and_then_as_many_as_fill_a_second():
    trials = [make(label, seed=seed) for label in LABELS for seed in range(12)]
    sizes = [len(lot) for lot in handed(Lots(trials), {"dense": LASTS / 4, "implicit": 10 * LASTS})]
    assert sizes == [1, 4, 4, 3, *[1] * 12]


@given(
    kinds=st.lists(st.sampled_from(LABELS), min_size=1, max_size=30),
    seconds=st.fixed_dictionaries(dict.fromkeys(LABELS, st.floats(0.001, 3))),
    alone=st.booleans(),
)
def test_all_are_handed_out_once_in_their_order_and_no_lot_is_long(kinds, seconds, alone):
    trials = [make(label, seed=seed) for seed, label in enumerate(kinds)]
    found = handed(Lots(trials, alone=alone), seconds)
    assert [one for lot in found for one in lot] == [(trial.label, trial.seed) for trial in trials]
    for lot in found:
        assert len(lot) == 1 or (not alone and sum(seconds[label] for label, _ in lot) <= LASTS)


def test_tune_is_given_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr(lots_module, "AT_ONCE", 3)
    lots = Lots([make("dense", seed=seed) for seed in range(7)], alone=True)
    parts = [len(handed(lots, {"dense": 1.0})) for _ in range(3)]
    assert parts == [3, 3, 1]
    assert not lots.todo


def test_a_lot_that_is_lost_says_nothing_of_its_pace():
    lots = Lots([make("dense", seed=seed) for seed in range(3)])
    for name in "abc":
        assert len(trials_of(lots.suggest(name))) == 1
        lots.on_trial_complete(name, error=True)
    assert lots.suggest("d") == FINISHED


def test_what_a_worn_worker_did_not_come_to_says_nothing_of_its_pace():
    lots = Lots([make("dense", seed=seed) for seed in range(6)])
    assert [len(lot) for lot in handed(lots, {"dense": LASTS / 2}, part=1)] == [1, 2, 2, 1]

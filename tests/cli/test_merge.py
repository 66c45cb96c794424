"""Records of several people become those of one study: nothing lost, nothing twice, and what conflicts is refused."""

import json

import pytest

from benchmark.analysis.tuning import resolved, stages
from benchmark.experiment.brought import NOTE
from benchmark.experiment.coverage import remaining
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.experiment.tuning import is_candidate
from tests.conftest import TINY
from tests.support.made_records import PROVENANCE, failure, result
from tests.support.tuned_study import NOTHING_FOLLOWS, tune

OTHER = {**PROVENANCE, "cpu": "Another"}


@pytest.fixture
def folders(tmp_path):
    """Writes records into results folders: by the name of the folder above them."""

    def write(study, **sources):
        for name, records in sources.items():
            store = Store(tmp_path / name / study.name)
            store.path.parent.mkdir(parents=True)
            for record in records:
                store.append(record)
        return [f"{name}/{study.name}" for name in sources]

    return write


@pytest.fixture
def merged(deadweight, tmp_path):
    """Merges the folders; gives the records and the output."""

    def call(*names):
        study = names[0].rpartition("/")[2]
        code, out, err = deadweight("merge", *names, "--out", f"all/{study}")
        assert code == 0, err
        return Store(tmp_path / "all" / study).load(), out

    return call


def test_seeds_of_two_machines_become_one_study(deadweight, tiny, folders, merged):
    study = load_study(str(tiny))
    every = [result(trial) for trial in study.trials()]
    records, out = merged(*folders(study, a=[r for r in every if r.seed == 0], b=[r for r in every if r.seed == 1]))
    assert sorted(r.key for r in records) == sorted(r.key for r in every)
    assert remaining(study, records, retry_failed=False) == []
    assert "b/tiny: 5 records, 5 of trials that none before it has" in out
    assert out.splitlines()[-1].endswith("next: deadweight status tiny.toml --results all")
    assert "10 of 10 trials have a record" in deadweight("status", tiny, "--results", "all")[1]


def test_of_double_trials_the_first_that_has_a_result_is_kept(tiny, folders, merged):
    one, two, three, *_ = load_study(str(tiny)).trials()
    first = [result(one), failure(two), result(three)]
    second = [result(one), result(two), result(three, test_accuracy=0.7, provenance=OTHER)]
    records, out = merged(*folders(load_study(str(tiny)), a=first, b=second))
    assert records == [first[0], second[1], first[2]]
    assert "3 double, 2 of them with another result elsewhere: the first is kept" in out


def test_records_of_tuning_stay_and_the_study_is_tuned(tmp_path, folders, merged):
    (tmp_path / "tuned.toml").write_text(NOTHING_FOLLOWS)
    study = load_study(str(tmp_path / "tuned.toml"))
    tried = tune(study, stages, result)
    evaluated = [result(trial) for trial in resolved(study, tried).trials()]
    half = len(evaluated) // 2
    records, _ = merged(*folders(study, a=[*tried, *evaluated[:half]], b=[*tried, *evaluated[half:]]))
    assert sum(is_candidate(r.label) for r in records) == len(tried)
    assert remaining(resolved(study, records), records, retry_failed=False) == []


def test_searches_are_put_together_and_the_first_samples_count(tmp_path, tiny, folders, merged):
    tiny.write_text(TINY.replace("seeds", 'sampler = "optuna"\nsamples = 2\nseeds'))
    study = load_study(str(tiny))

    def searched(seed, rates):
        slots = [slot for slot in study.slots() if slot.seed == seed]
        return [result(study.trial(s, study.setting(s.label, {"learning_rate": x}))) for s in slots for x in rates]

    one, two, again = searched(0, (0.01, 0.02)), searched(1, (0.01, 0.02)), searched(0, (0.01, 0.03))
    records, out = merged(*folders(study, a=one, b=two, c=again))
    assert remaining(study, records, retry_failed=False) == []
    assert records == [*one, *two, *again[1::2]]
    assert "3 double" in out
    tiny.write_text(tiny.read_text().replace("samples = 2", "samples = 3"))
    left = remaining(load_study(str(tiny)), records, retry_failed=False)
    assert {slot.seed for slot in left} == {1}  # the third of seed 0 is there


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.model_copy(update={"test_accuracy": 0.7}), "b/tiny has another result for dense, seed 0, record"),
        (lambda r: r.model_copy(update={"study": "other"}), "b/tiny is of another study than a/tiny: other, and tiny"),
        (
            lambda r: r.model_copy(update={"provenance": {**PROVENANCE, "data": "2"}}),
            "b/tiny was made when simulated held other data than for a/tiny",
        ),
        (
            lambda r: r.model_copy(update={"protocol": r.protocol.model_copy(update={"epochs": 5})}),
            "b/tiny is of another protocol than a/tiny: epochs 5, ",
        ),
    ],
)
def test_what_conflicts_is_refused_in_one_line(deadweight, tiny, folders, tmp_path, change, words):
    study = load_study(str(tiny))
    record = result(study.trials()[0], provenance={**PROVENANCE, "data": "1"})
    other = change(record)
    history = {name: [*values, values[-1]][: other.protocol.epochs] for name, values in other.history.items()}
    other = other.model_copy(update={"key": other.expected_key(), "history": history})
    code, out, err = deadweight("merge", *folders(study, a=[record], b=[other]), "--out", "all/tiny")
    assert (code, out, err.count("\n"), words in err) == (2, "", 1, True), err
    assert not (tmp_path / "all").exists()


def test_each_label_of_a_reproduction_has_a_protocol_of_its_own(tiny, folders, merged, deadweight):
    study = load_study(str(tiny))
    dense, *others = [result(trial) for trial in study.trials() if trial.seed == 0]
    longer = [_trained_for(5, record) for record in others]
    records, _ = merged(*folders(study, a=[dense, *longer[:1]], b=longer[1:]))
    assert records == [dense, *longer]
    again = folders(study, c=[dense, *longer[:1]], d=[others[1]])
    code, _, err = deadweight("merge", *again, "--out", "more/tiny")
    assert (code, "d/tiny is of another protocol of implicit than c/tiny: epochs 4, " in err) == (2, True), err


def _trained_for(epochs, record):
    protocol = record.protocol.model_copy(update={"epochs": epochs})
    history = {name: [*values, values[-1]] for name, values in record.history.items()}
    other = record.model_copy(update={"protocol": protocol, "history": history})
    return other.model_copy(update={"key": other.expected_key()})


def test_one_network_in_two_versions_is_refused_and_one_in_one_is_noted(deadweight, tiny, folders, tmp_path):
    study = load_study(str(tiny))
    names = folders(study, a=[result(study.trials()[0])], b=[result(study.trials()[1])])
    for name, content in zip(names, ("1", "2"), strict=True):
        (tmp_path / name / NOTE).write_text(json.dumps({"my_nets.py:build": content}))
    code, _, err = deadweight("merge", *names, "--out", "all/tiny")
    assert (code, "b/tiny was made with another my_nets.py:build than a/tiny" in err) == (2, True)
    (tmp_path / names[1] / NOTE).write_bytes((tmp_path / names[0] / NOTE).read_bytes())
    assert deadweight("merge", *names, "--out", "all/tiny")[0] == 0
    assert json.loads((tmp_path / "all" / "tiny" / NOTE).read_text()) == {"my_nets.py:build": "1"}


def test_arguments_that_make_no_sense_are_one_line(deadweight, tiny, folders, tmp_path):
    study = load_study(str(tiny))
    one, two = folders(study, a=[result(study.trials()[0])], b=[result(study.trials()[1])])
    for arguments, words in (
        ((one, "--out", "all/tiny"), "give at least two results folders"),
        ((one, f"{two}/records.jsonl", "--out", "all/tiny"), "b/tiny/records.jsonl is a file; give the results folder"),
        ((one, one, "--out", "all/tiny"), "one of the folders is named twice"),
        ((one, tmp_path / one, "--out", "all/tiny"), "one of the folders is named twice"),
        ((one, "b/tiyn", "--out", "all/tiny"), "unknown results 'b/tiyn'; did you mean 'b/tiny'"),
        ((one, two, "--out", "all"), "results of tiny lie in a folder of its name: --out all/tiny"),
        ((one, two, "--out", one), "a/tiny has records already"),
        ((one, two, "--out", "/proc/tiny"), "cannot write to /proc/tiny"),
    ):
        code, out, err = deadweight("merge", *arguments)
        assert (code, out, err.count("\n"), words in err) == (2, "", 1, True), err

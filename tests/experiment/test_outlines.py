"""What says how far a study is: the same as the records themselves, whether their lines were checked before or not."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.experiment import outlines as module
from benchmark.experiment.outlines import outlines, tuned_on
from benchmark.experiment.record import FINISHED, UNFINISHED
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from tests.conftest import TINY
from tests.experiment.test_record import record, store_with
from tests.experiment.test_study import sampled
from tests.support.made_records import result
from tests.support.tuned_study import TUNED


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "tiny.toml"
    path.write_text(TINY)
    return load_study(str(path))


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch):
    monkeypatch.setattr(module, "MANY", 2)


@pytest.fixture
def checked(study, tmp_path):
    """A store of six records, which were checked."""
    store = store_with(tmp_path, [record(trial) for trial in study.trials()[:6]])
    outlines(study, store)
    assert note(store).exists()
    return store


def note(store):
    return store.path.with_name(".checked")


def told(records):
    return [(r.key, r.label, r.seed, r.status, r.error, r.protocol) for r in records]


def places(study, store):
    return [(o.start, o.length) for o in outlines(study, store)]


@settings(deadline=None)  # each record is flushed to the disk
@given(data=st.data())
def test_outlines_are_those_of_the_records_however_many_were_checked_before(tmp_path_factory, study, data):
    store = Store(tmp_path_factory.mktemp("outlines"))
    for _ in range(data.draw(st.integers(1, 4))):
        for trial in data.draw(st.lists(st.sampled_from(study.trials()), min_size=1, max_size=5)):
            status = data.draw(st.sampled_from(FINISHED + UNFINISHED))
            changed = trial.protocol.model_copy(update={"epochs": data.draw(st.integers(1, 2))})
            store.append(record(trial.model_copy(update={"protocol": changed}), status=status, error="é"))
        records = store.load()
        assert told(outlines(study, store)) == told(records)
        assert store.at(places(study, store)) == records


def test_lines_that_were_checked_are_not_read_again(study, checked, monkeypatch):
    seen = []
    parse = Store.parse
    monkeypatch.setattr(Store, "parse", lambda self, number, line: seen.append(number) or parse(self, number, line))
    assert len(outlines(study, checked)) == 6
    assert seen == []
    checked.append(record(study.trials()[6]))
    assert len(outlines(study, checked)) == 7
    assert seen == [7]


def test_a_line_that_was_changed_after_it_was_checked_is_found(study, checked):
    content = checked.path.read_bytes()
    checked.path.write_bytes(content.replace(b'"val_accuracy":0.5', b'"val_accuracy":7.5', 1))
    with pytest.raises(UsageError, match="line 1 is not a record: val_accuracy"):
        outlines(study, checked)


def test_a_line_that_is_none_is_told_by_its_number_in_the_file(study, checked):
    with checked.path.open("a") as file:
        file.write("{}\n")
    with pytest.raises(UsageError, match="line 7 is not a record"):
        outlines(study, checked)


def test_a_last_line_without_its_end_counts_and_is_not_called_checked(study, checked):
    torn = checked.path.read_bytes()[:-1]
    note(checked).unlink()
    checked.path.write_bytes(torn)
    assert len(outlines(study, checked)) == 6
    assert not note(checked).exists()
    checked.mend()
    checked.append(record(study.trials()[6]))
    assert told(outlines(study, checked)) == told(checked.load())


@pytest.mark.parametrize("cut", [1, 10])
def test_a_file_that_has_become_shorter_is_read_anew(study, checked, cut):
    checked.path.write_bytes(checked.path.read_bytes()[:-cut])
    assert told(outlines(study, checked)) == told(checked.load())


def test_what_other_code_has_checked_is_checked_again(study, checked, monkeypatch):
    forged(checked, found={})
    assert outlines(study, checked) == []  # believed: it is bound to the lines and the code, not to itself
    monkeypatch.setattr(module, "CHECKS", ("record.py",))
    assert told(outlines(study, checked)) == told(checked.load())


def forged(checked, **fields):
    said = json.loads(note(checked).read_text())
    note(checked).write_text(json.dumps({**said, **fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {"size": -1},
        {"size": 2**60},
        {"lines": -1},
        {"protocols": []},
        {"protocols": [{"epochs": 0}]},
        {"found": {"a": ["dense", 0, "[red]made up", None, 0, 0, 1]}},
        {"found": {"a": ["dense", 0, "ok", None, -1, 0, 1]}},
        {"found": {"a": ["dense", 0, "ok", None, 0, -5, 1]}},
        {"found": 3},
        {"sha256": "0" * 64},
    ],
)
def test_a_strangers_note_that_cannot_be_is_none(study, checked, fields):
    forged(checked, **fields)
    assert told(outlines(study, checked)) == told(checked.load())


@pytest.mark.parametrize("make", [lambda p: p.write_text('{"a":' * 10**5), os.mkdir, os.mkfifo, lambda p: None])
def test_a_note_that_is_no_file_of_ours_is_none(study, checked, make):
    note(checked).unlink()
    make(note(checked))
    assert told(outlines(study, checked)) == told(checked.load())


def test_where_no_note_can_be_written_all_are_checked_each_time(study, tmp_path, monkeypatch):
    store = store_with(tmp_path, [record(trial) for trial in study.trials()[:6]])

    def refuse(*_):
        raise UsageError("read-only")

    monkeypatch.setattr(module, "write_whole", refuse)
    assert told(outlines(study, store)) == told(store.load())
    assert not note(store).exists()


def test_of_a_tuned_study_the_records_of_the_tuning_seed_are_whole(tmp_path):
    path = tmp_path / "tuned.toml"
    path.write_text(TUNED)
    plan = load_study(str(path))
    trials = plan.plain({"dense": {}}, [plan.tuning.seed, *plan.seeds]).trials()
    store = store_with(tmp_path, [result(trial) for trial in trials])
    for _ in range(2):
        whole = tuned_on(plan, store, outlines(plan, store))
        assert whole == [r for r in store.load() if r.seed == plan.tuning.seed]
        assert len(whole) == 1


def test_a_search_and_a_study_that_is_not_tuned_need_no_more_than_they_get(tmp_path, study, checked):
    assert tuned_on(study, checked, outlines(study, checked)) == []
    search = sampled(tmp_path, "optuna", 3)
    assert outlines(search, checked) == checked.load()

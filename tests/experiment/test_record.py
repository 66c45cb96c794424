import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.experiment.record import MEASURED, Record, describe
from benchmark.experiment.soundness import NEEDED
from benchmark.experiment.store import Store, find
from benchmark.experiment.study import load_study
from tests.conftest import TINY


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "tiny.toml"
    path.write_text(TINY)
    return load_study(str(path)).trials()


MEASURES = dict.fromkeys(NEEDED, 0.5)


def record(trial, **fields):
    measures = MEASURES if fields.get("status", "ok") in MEASURED else {}
    return Record(**describe(trial), **{"status": "ok", **measures, **fields})


def store_with(folder, records):
    store = Store(folder)
    for r in records:
        store.append(r)
    return store


def test_round_trip(tmp_path, trials):
    records = [record(t, val_accuracy=0.1 + 0.2, history={"loss": [1.0, 1 / 3, 2.0, 3e300]}) for t in trials]
    assert store_with(tmp_path, records).load() == records


def test_no_file_is_no_record(tmp_path):
    store = Store(tmp_path)
    store.mend()
    assert store.load() == []
    assert store.path == tmp_path / "records.jsonl"


@given(data=st.data())
def test_a_file_cut_anywhere_keeps_every_whole_line(tmp_path_factory, trials, data):
    folder = tmp_path_factory.mktemp("cut")
    records = [record(t) for t in trials[:3]]
    store = store_with(folder, records)
    content = store.path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    store.path.write_bytes(content[:cut])
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    whole = sum(cut >= end - 1 for end in ends)  # a line is whole even without its line end
    assert store.load() == records[:whole]
    store.mend()
    store.append(records[2])
    assert {r.key for r in store.load()} == {r.key for r in [*records[:whole], records[2]]}
    assert store.path.read_bytes().endswith(b"\n")


def test_mending_completes_a_last_line_that_is_whole_and_drops_one_that_was_cut(tmp_path, trials):
    store = store_with(tmp_path, [record(t) for t in trials[:3]])
    content = store.path.read_bytes()
    third = content[:-1].rfind(b"\n") + 1
    for found, mended in {content: content, content[:-1]: content, content[:-2]: content[:third], b"{": b""}.items():
        store.path.write_bytes(found)
        store.mend()
        assert store.path.read_bytes() == mended


@pytest.mark.parametrize("line", ["{}", "not json", "[]", '{"schema_version": 1}', ""])
def test_a_foreign_line_is_named(tmp_path, trials, line):
    store = store_with(tmp_path, [record(trials[0])])
    with store.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UsageError, match="line 2 is not a record"):
        store.load()


def test_a_field_that_does_not_fit_is_named(tmp_path, trials):
    store = store_with(tmp_path, [record(trials[0])])
    store.path.write_text(store.path.read_text().replace('"mlp"', "1"))
    with pytest.raises(UsageError, match=r"records\.jsonl, line 1 is not a record: task\.network Input should be"):
        store.load()


def test_a_changed_record_is_found(tmp_path, trials):
    store = store_with(tmp_path, [record(trials[0])])
    store.path.write_text(store.path.read_text().replace('"seed":0', '"seed":1'))
    with pytest.raises(UsageError, match="does not have the key"):
        store.load()


def test_a_full_disk_leaves_the_earlier_records(tmp_path, trials, monkeypatch):
    store = store_with(tmp_path, [record(trials[0])])
    before = store.path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=": the disk is full; "):
        store.append(record(trials[1]))
    assert store.path.read_bytes() == before


def test_a_failing_first_write_leaves_an_empty_file_and_its_reason(tmp_path, trials, monkeypatch):
    def broken(_):
        raise OSError(errno.EIO, "the cable is loose")

    monkeypatch.setattr(os, "fsync", broken)
    store = Store(tmp_path)
    words = f"^cannot write {store.path}: .*the cable is loose; all earlier records are safe, run the same"
    with pytest.raises(UsageError, match=words):
        store.append(record(trials[0]))
    assert store.path.read_bytes() == b""


def test_a_line_holds_what_has_been_reached_and_no_more(tmp_path, trials):
    store = store_with(tmp_path, [record(trials[0], val_accuracy=0.5)])
    held = json.loads(store.path.read_text())
    assert held.keys() == {*describe(trials[0]), *NEEDED, "status"} - {"fine_tune"}


def test_a_result_outlasts_a_failure_of_the_same_trial(tmp_path, trials):
    failed = record(trials[0], status="crashed", error="x")
    good = record(trials[0])
    assert store_with(tmp_path, [failed, good]).load() == [good]
    assert Store(tmp_path).load() == store_with(tmp_path, [failed]).load()


def test_a_record_tells_what_is_often_asked_of_it(trials):
    dense, implicit = record(trials[0], status="diverged"), record(trials[2], status="collapsed")
    assert [dense.trial, implicit.trial] == [trials[0], trials[2]]
    assert [dense.measured, implicit.measured, record(trials[0]).measured] == [False, True, True]
    assert [dense.knob_value, implicit.knob_value] == [None, 0.1]
    assert implicit.key.startswith(implicit.short_key)
    assert len(implicit.short_key) == 8


def test_a_record_is_found_by_the_first_digits_of_its_key(tmp_path, trials):
    measured = [record(t, params=1) for t in trials[:2]]
    store = store_with(tmp_path, [*measured, record(trials[2], status="failed")])
    assert find(store, measured[1].key[:10]) == measured[1]
    with pytest.raises(UsageError, match=r"^2 records have a key that begins with '': give more digits$"):
        find(store, "")
    near = measured[0].key[:7] + "x"
    with pytest.raises(UsageError, match=f"^unknown record '{near}'; did you mean '{measured[0].key[:8]}'"):
        find(store, near)
    near = measured[0].key[:11] + "x"
    with pytest.raises(UsageError, match=f"did you mean '{measured[0].key[:12]}'"):
        find(store, near)
    with pytest.raises(UsageError, match="unknown record"):
        find(store, trials[2].key)


def test_records_of_two_machines_merge_by_concatenation(tmp_path, trials):
    for name in "ab":
        (tmp_path / name).mkdir()
    one = store_with(tmp_path / "a", [record(trials[0])])
    two = store_with(tmp_path / "b", [record(trials[1]), record(trials[0])])
    one.path.write_bytes(one.path.read_bytes() + two.path.read_bytes())
    assert [r.key for r in one.load()] == [trials[0].key, trials[1].key]

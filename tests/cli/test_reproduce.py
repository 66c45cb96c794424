"""`deadweight reproduce`: list, run, table, on a stand-in that trains in a second."""

import csv
import json

import pytest

from benchmark.experiment.store import Store
from tests.conftest import TINY
from tests.support.reproduction import REPRODUCTION


@pytest.fixture
def again(tmp_path):
    path = tmp_path / "again.toml"
    path.write_text(REPRODUCTION)
    return path


def records(again):
    return Store(again.parent / "results" / "again").load()


def test_without_a_name_it_lists_what_there_is(deadweight, again):
    code, out, _ = deadweight("reproduce", "--study", again)
    assert code == 0
    assert all(word in out for word in ("slim", "Another, as a third quotes it (quoted)", "0 of 3", "not run"))
    assert out.splitlines()[-1] == f"0 of 3 have been run; next: deadweight reproduce dense --study {again}"
    assert not (again.parent / "results").exists()


def test_a_row_is_run_with_its_dense_network_and_no_other(deadweight, again):
    code, out, _ = deadweight("reproduce", "slim", "--study", again, "--in-process")
    assert code == 0
    assert {r.label for r in records(again)} == {"dense", "slim"}
    assert all(r.measured and r.best_test_accuracy >= r.test_accuracy for r in records(again))
    last = out.splitlines()[-1]
    assert last.startswith("dense ")
    assert last.endswith("; all that has been run is in results/again/table.md")
    assert "looks at the test set" in out
    assert "its λ is not published" in out
    ((slim,),) = [[r for r in records(again) if r.label == "slim"]]
    assert sum(slim.channels_left.values()) == 4
    table = list(csv.DictReader((again.parent / "results" / "again" / "table.csv").open()))
    assert [line["row"] for line in table] == ["dense", "slim", "cut"]
    assert [line["verdict"] != "not run" for line in table] == [True, True, False]


def test_what_has_a_record_is_not_run_again_and_the_rest_is(deadweight, again):
    deadweight("reproduce", "slim", "--study", again, "--in-process")
    before = records(again)
    _, out, _ = deadweight("reproduce", "slim", "--study", again, "--in-process")
    assert records(again) == before
    assert "trials done" not in out
    deadweight("reproduce", "cut", "dense", "--study", again, "--in-process")
    assert len(records(again)) == len(before) + 3
    cut = [r for r in records(again) if r.label == "cut"]
    assert {r.features for r in cut} == {16}
    assert all(1 <= r.features_left <= 16 for r in cut)
    assert {r.channels for r in cut} == {12}
    _, out, _ = deadweight("reproduce", "--study", again)
    assert out.splitlines()[-1] == "3 of 3 have been run; all is in results/again/table.md"


def test_run_plan_and_status_take_it_like_any_study_and_lead_to_the_table(deadweight, again):
    assert deadweight("run", again, "--dry-run")[0] == 0
    _, out, _ = deadweight("run", again, "--in-process")
    assert out.splitlines()[-1] == f"next: deadweight reproduce --study {again}"
    assert deadweight("status", again)[1].splitlines()[-1] == f"next: deadweight reproduce --study {again}"
    rows = json.loads(deadweight("reproduce", "--study", again, "--json")[1])
    assert len(rows) == 3
    assert "not run" not in {row["verdict"] for row in rows}


@pytest.mark.parametrize("command", [["plot"], ["publish"], ["claims"]])
def test_what_compares_refuses_it_and_writes_nothing(deadweight, again, command):
    code, _, err = deadweight(*command, again)
    assert code == 2
    assert "study 'again' reproduces published numbers" in err
    assert [path.name for path in again.parent.iterdir()] == ["again.toml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["slimm"], "unknown published result 'slimm'; did you mean 'slim'?"),
        (["slim", "--study", "tiny.toml"], "study 'tiny' is a comparison; one that reproduces has kind"),
        (["slim", "--study", "nowhere.toml"], "does not exist"),
    ],
)
def test_bad_input_is_one_line(deadweight, again, arguments, words):
    (again.parent / "tiny.toml").write_text(TINY)
    arguments = arguments if "--study" in arguments else [*arguments, "--study", again]
    code, _, err = deadweight("reproduce", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert words in err
    assert not (again.parent / "results").exists()


@pytest.mark.usefixtures("faulty_methods")
def test_a_trial_that_fails_ends_with_1_and_its_reason(deadweight, again):
    again.write_text(
        REPRODUCTION.replace('method = "magnitude_filter"\nratio = [0.25, 0.5, 0.75]', 'method = "raises"')
    )
    code, out, _ = deadweight("reproduce", "cut", "--study", again, "--in-process")
    assert code == 1
    assert "failed: cut, seed 0: " in out
    assert f"`deadweight run {again} --retry-failed` runs what has failed again" in out
    assert out.splitlines()[-1].startswith("cut not run; ")


def test_fewer_seeds_are_run_where_that_is_asked_for(deadweight, again):
    again.write_text(REPRODUCTION.replace("seeds = [0]", "seeds = [0, 1]"))
    deadweight("reproduce", "dense", "--study", again, "--in-process", "--first", "1")
    assert [r.seed for r in records(again)] == [0]


def test_the_suites_own_study_has_a_row_for_every_label_and_a_control_for_what_starts_from_one(deadweight):
    rows = json.loads(deadweight("reproduce", "--json")[1])
    assert len(rows) >= 10
    assert {"slimming", "l0_300", "l0_lenet5", "ssl", "group_lasso", "han", "vib"} <= {row["row"] for row in rows}
    assert {row["source"].rpartition("(")[2] for row in rows} == {"read)", "quoted)", "unverified)"}

"""A tuned study as a user runs it: in stages, from any point on, or with the choice that another run made."""

import json

import pytest

from benchmark.cli import studies
from benchmark.experiment import names as names_module
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.experiment.tuning import is_candidate
from benchmark.site.digest import read
from tests.support.tuned_study import TUNED

TRIED = 2 + 3 * 2 * 2
EVALUATED = 2 * (1 + 2 + 2)  # and what scratch is evaluated at


@pytest.fixture
def tuned(tmp_path):
    path = tmp_path / "tuned.toml"
    path.write_text(TUNED)
    return path


def lines(folder):
    return (folder / "tuned" / "records.jsonl").read_text().splitlines(keepends=True)


def keys(folder):
    return [json.loads(line)["key"] for line in lines(folder)]


def test_a_tuned_study_runs_in_stages_and_says_what_it_chose(deadweight, tuned, tmp_path):
    code, out, _ = deadweight("run", tuned, "--in-process")
    assert code == 0
    assert "bases: ran 2 trials; 2 of 2 have a record" in out
    assert f"others: ran {TRIED - 2} trials; {TRIED - 1} of {TRIED - 1} have a record" in out
    assert "chosen with seed 100" in out
    assert out.index("others: ran") < out.index("chosen with seed 100") < out.index("tuned.toml: ran")
    records = Store(tmp_path / "results" / "tuned").load()
    assert {r.study for r in records} == {"tuned"}
    assert {r.seed for r in records[:TRIED]} == {100}
    assert all(is_candidate(r.label) for r in records[:TRIED])
    evaluated = records[TRIED:]
    assert [r.seed for r in evaluated] == sorted(r.seed for r in evaluated)  # seeds outermost
    assert {r.seed for r in evaluated} == {0, 1}
    assert sum(r.label != "scratch" for r in evaluated) == EVALUATED
    followed = {r.setting.hyperparameters["left"] for r in evaluated if r.label == "scratch"}
    ended = {str(*r.channels_left.values()) for r in records[:TRIED] if r.setting.method == "implicit"}
    assert followed <= ended


@pytest.mark.parametrize("kept", [0, 1, 2, 7, TRIED, TRIED + 1])
def test_killed_in_any_stage_a_run_goes_on_to_the_same_records(deadweight, tuned, tmp_path, kept):
    deadweight("run", tuned, "--in-process")
    whole, path = keys(tmp_path / "results"), tmp_path / "results" / "tuned" / "records.jsonl"
    path.write_text("".join(lines(tmp_path / "results")[:kept]))
    assert deadweight("run", tuned, "--in-process")[0] == 0
    assert keys(tmp_path / "results") == whole


def test_stopped_between_stages_a_run_goes_on(deadweight, tuned, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(studies, "_summarise", stop)
        assert deadweight("run", tuned, "--in-process")[0] == 130
    assert len(keys(tmp_path / "results")) == 2
    code, out, _ = deadweight("run", tuned, "--in-process")
    assert code == 0
    assert "bases: ran 0 trials; 2 of 2" in out
    assert deadweight("run", tuned, "--in-process")[1].count("ran 0 trials") == 3


def test_what_is_to_come_is_counted_before_it_is_chosen(deadweight, tuned, tmp_path):
    code, out, _ = deadweight("run", tuned, "--dry-run")
    assert code == 0
    assert "2 of 2 trials to run" in out
    assert f"others: {TRIED - 1} trials" in out
    assert f"evaluation: up to {EVALUATED + 4} trials" in out
    assert not (tmp_path / "results").exists()
    out = deadweight("status", tuned)[1]
    assert "0 of 2 trials have a record" in out
    assert f"evaluation: up to {EVALUATED + 4} trials" in out
    assert "next: deadweight run" in out


def test_status_shows_the_stages_and_calls_no_candidate_stale(deadweight, tuned):
    deadweight("run", tuned, "--in-process")
    out = deadweight("status", tuned)[1]
    assert "Tuned: bases" in out
    assert f"{TRIED - 1} of {TRIED - 1} trials have a record" in out
    assert "no longer has" not in out
    assert "next: deadweight plot" in out


def test_first_runs_the_first_seeds_only(deadweight, tuned, tmp_path):
    deadweight("run", tuned, "--in-process", "--first", 1)
    assert {r.seed for r in Store(tmp_path / "results" / "tuned").load()} == {100, 0}
    assert "next: deadweight run" in deadweight("status", tuned)[1]
    first = lines(tmp_path / "results")
    deadweight("run", tuned, "--in-process")
    assert lines(tmp_path / "results")[: len(first)] == first
    assert {r.seed for r in Store(tmp_path / "results" / "tuned").load()} == {100, 0, 1}


def test_first_is_for_every_study(deadweight, tiny):
    out = deadweight("run", tiny, "--in-process", "--first", 1)[1]
    assert "ran 5 trials; 5 of 5 have a record" in out
    assert deadweight("run", tiny, "--first", 0)[0] == 2


def test_a_tuning_made_elsewhere_is_taken_over(deadweight, tuned, tmp_path):
    deadweight("run", tuned, "--in-process", "--first", 1)
    there = lines(tmp_path / "results")
    options = ("--results", tmp_path / "own", "--tuning", tmp_path / "results" / "tuned")
    out = deadweight("run", tuned, "--dry-run", *options)[1]
    assert "0 of 2 trials to run" in out
    assert not (tmp_path / "own").exists()
    code, out, _ = deadweight("run", tuned, "--in-process", *options)
    assert code == 0
    assert "bases: ran 0 trials" in out
    assert "others: ran 0 trials" in out
    own = lines(tmp_path / "own")
    assert own[:TRIED] == there[:TRIED]
    assert {json.loads(line)["seed"] for line in own[TRIED:]} == {0, 1}
    deadweight("run", tuned, "--in-process", *options)
    assert lines(tmp_path / "own") == own


def test_an_unfinished_tuning_is_taken_over_as_far_as_it_is(deadweight, tuned, tmp_path):
    deadweight("run", tuned, "--in-process")
    whole, path = keys(tmp_path / "results"), tmp_path / "results" / "tuned" / "records.jsonl"
    path.write_text("".join(lines(tmp_path / "results")[:5]))
    options = ("--results", tmp_path / "own", "--tuning", path.parent)
    assert deadweight("run", tuned, "--in-process", *options)[0] == 0
    assert keys(tmp_path / "own") == whole


def test_a_folder_without_the_studys_tuning_is_refused(deadweight, tuned, tiny, tmp_path):
    code, _, err = deadweight("run", tuned, "--tuning", tmp_path)
    assert (code, err.count("\n"), "no records of the tuning" in err) == (2, 1, True)
    code, _, err = deadweight("run", tiny, "--tuning", tmp_path)
    assert (code, err.count("\n"), "leave out --tuning" in err) == (2, 1, True)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("place", [0, 5, TRIED])
def test_failed_trials_are_run_again_in_every_stage(deadweight, tuned, tmp_path, place):
    deadweight("run", tuned, "--in-process")
    store = Store(tmp_path / "results" / "tuned")
    whole = store.load()
    lost = {"status": "failed", "error": "no luck", "val_accuracy": None}
    broken = [r.model_copy(update=lost) if i == place else r for i, r in enumerate(whole)]
    store.path.unlink()
    store.add(broken)
    assert deadweight("run", tuned, "--in-process", "--retry-failed")[0] == 0
    again = {r.key: r for r in store.load()}
    assert [again[r.key].status for r in whole] == [r.status for r in whole]
    assert [again[r.key].val_accuracy for r in whole] == [r.val_accuracy for r in whole]


def test_a_study_whose_control_has_no_result_stops_with_one_line(deadweight, tuned, tmp_path):
    deadweight("run", tuned, "--in-process")
    store = Store(tmp_path / "results" / "tuned")
    bases = [r.model_copy(update={"status": "failed", "error": "no luck"}) for r in store.load()[:2]]
    store.path.unlink()
    store.add(bases)
    code, out, err = deadweight("run", tuned, "--in-process")
    assert (code, err.count("\n"), "no candidate of 'dense' has a result" in err) == (2, 1, True)
    assert "--retry-failed` runs these 2 again" in out
    assert len(store.load()) == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("dense = [{ learning_rate = 0.1 }, ", "dense = [", "1 for 'dense'"),
        ("seed = 100", "seed = 0", "seed 0 is one of the seeds"),
        ("dense = [{ learning_rate = 0.1 }", "dense = [{ learning_rate = 0.05 }", "of 'dense' twice"),
        ("implicit = [{ learning_rate = 0.001 }", "implicit = [{ momentum = 1 }", "[methods.implicit ⟨1⟩]"),
        ("implicit = [{", "implicitt = [{", "unknown label 'implicitt'"),
    ],
)
def test_an_unfair_study_is_refused_before_anything_is_written(deadweight, tuned, tmp_path, old, new, words):
    tuned.write_text(TUNED.replace(old, new, 1))
    for command in (("run", "--in-process"), ("run", "--dry-run"), ("status",)):
        code, out, err = deadweight(command[0], tuned, *command[1:])
        assert (code, out, err.count("\n"), words in err) == (2, "", 1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.toml"]


@pytest.mark.usefixtures("sketched")
def test_figures_and_pages_show_the_evaluation(deadweight, tuned, tmp_path):
    code, _, err = deadweight("plot", tuned)
    assert (code, err.count("\n"), "is not tuned yet" in err) == (2, 1, True)
    deadweight("run", tuned, "--in-process")
    code, out, _ = deadweight("plot", tuned)
    assert (code, "Filter magnitude" in out, "⟨" in out) == (0, True, False)
    table = (tmp_path / "results" / "tuned" / "table.md").read_text()
    assert "Unfinished" not in table
    assert deadweight("publish", tuned, "--out", "site")[0] == 0
    assert deadweight("verify", "site")[0] == 0


def test_a_digest_has_the_scores_and_counts_no_candidate_as_a_stray(deadweight, tuned, tmp_path):
    deadweight("run", tuned, "--in-process")
    digest = read(load_study(str(tuned)), Store(tmp_path / "results" / "tuned"))
    assert digest.study.tuning is None
    assert digest.tuning.seed == 100
    assert (digest.strays, digest.missing, len(digest.scores)) == ({}, 0, 8)
    assert {r.seed for r in digest.records} == {0, 1}


def test_a_comparison_is_of_what_is_evaluated(deadweight, tuned, tmp_path):
    deadweight("run", tuned, "--in-process")
    count = len(keys(tmp_path / "results")) - TRIED
    code, out, _ = deadweight("compare", "results/tuned", "results/tuned")
    assert code == 0
    assert f"left out: what tuning tried, {TRIED} records of A and {TRIED} of B" in out
    assert f"{count} trials with the same key" in out


def test_the_list_of_studies_says_which_are_tuned(deadweight, tuned, tiny, monkeypatch):
    monkeypatch.setattr(names_module, "STUDIES", tuned.parent)
    rows = {line.split()[0]: line.split() for line in deadweight("list", "studies")[1].splitlines() if line.split()}
    assert rows["tuned"][-2:] == ["2", "candidates"]
    assert rows["tiny"][-1] == "–"

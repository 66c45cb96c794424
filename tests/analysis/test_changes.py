import numpy as np
import pytest
from scipy import stats

from benchmark.analysis import changes
from benchmark.experiment.hashing import SCHEMA
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from tests.conftest import TINY
from tests.support.made_records import PROVENANCE, failure, result

SEEDS = 6


@pytest.fixture
def trials(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace("[0, 1]", str(list(range(SEEDS)))))
    return load_study(str(path)).trials()


def noise(trial, size=0.01):
    """What a seed adds to an accuracy."""
    return size * np.random.default_rng([trial.seed, len(trial.label)]).normal()


def run_of(trials, change=None, **fields):
    """A record for every trial; `change` gives what it changes in one's fields."""
    return [result(t, **{"channels": 100, **fields, **(change(t) if change else {})}) for t in trials]


def worse(drop, label="implicit", knob=0.1, **fields):
    def change(trial):
        if trial.label != label or trial.setting.hyperparameters.get("strength") != knob:
            return {}
        return {"test_accuracy": 0.8 - drop + noise(trial), **fields}

    return change


def rekey(record, **changed):
    changed = record.model_copy(update=changed)
    return changed.model_copy(update={"key": changed.expected_key()})


def next_version(record):
    return rekey(record, setting=record.setting.model_copy(update={"version": 2}))


@pytest.fixture
def written(tmp_path):
    """Writes records into folders a and b."""

    def write(before, after):
        for name, records in {"a": before, "b": after}.items():
            (tmp_path / name).mkdir()
            for record in records:
                Store(tmp_path / name).append(record)

    return write


def test_records_are_matched_by_key_then_by_place(trials):
    before = run_of(trials)
    after = [next_version(r) if r.label == "implicit" else r for r in before][1:]
    found = changes.match(before, after)
    assert len(found.pairs) == len(trials) - 1
    assert [r.key for r in found.lost] == [before[0].key]
    assert found.new == []
    moved = [pair for pair in found.pairs if not pair.same_key]
    assert len(moved) == 2 * SEEDS
    assert {changes.rekeyed(pair) for pair in moved} == {"version 1 → 2"}
    assert all(changes.match(before, after[::-1]).pairs.count(pair) == 1 for pair in found.pairs)


def test_what_changes_a_key_is_named(trials):
    before = next(r for r in run_of(trials) if r.label == "magnitude_filter")
    faster = before.base.model_copy(update={"hyperparameters": {**before.base.hyperparameters, "learning_rate": 0.3}})
    after = rekey(before, base=faster, protocol=before.protocol.model_copy(update={"epochs": 5}))
    assert changes.rekeyed(changes.Pair(before, after)) == "epochs 4 → 5, base learning_rate 0.1 → 0.3"


def test_another_method_and_what_only_one_side_has_are_named(trials):
    before = next(r for r in run_of(trials) if r.label == "magnitude_filter")
    other = before.base.model_copy(update={"method": "implicit", "version": 2, "hyperparameters": {"own": 0.5}})
    after = rekey(before, base=other, setting=before.setting.model_copy(update={"method": "l1", "hyperparameters": {}}))
    told = changes.rekeyed(changes.Pair(before, after)).split(", ")
    assert {"method magnitude_filter → l1", "base method dense → implicit", "base version 1 → 2"} <= set(told)
    assert f"ratio {before.setting.hyperparameters['ratio']} → none" in told
    assert "base own none → 0.5" in told


def test_shares_move_in_channels_of_the_smallest_network_and_accuracies_in_the_smallest_gap_seen(trials):
    def records(**fields):
        names, columns = zip(*fields.items(), strict=True)
        return [result(trials[0], **dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]

    assert changes.step("param_sparsity", records(channels=[100, 50, None])) == 1 / 50
    assert changes.step("param_sparsity", records(channels=[None])) == 0
    assert changes.step("test_accuracy", records(test_accuracy=[0.9, 0.8, 0.81, 0.8])) == pytest.approx(0.01)
    assert changes.step("test_accuracy", records(test_accuracy=[0.8, 0.8])) == 0


def test_two_seeds_are_tested_and_one_is_not():
    expected = stats.ttest_1samp([0.1, 0.12], 0).pvalue
    assert changes.paired_t(np.array([0.1, 0.12]), step=0.0) == pytest.approx(expected)
    assert np.isnan(changes.paired_t(np.array([0.1]), step=0.0))


def test_trials_at_one_place_are_not_paired_by_chance(trials):
    before = [r for r in run_of(trials) if r.label == "dense"][:1]
    twice = [next_version(before[0]), rekey(before[0], setting=before[0].setting.model_copy(update={"version": 3}))]
    found = changes.match(before, twice)
    assert (found.pairs, len(found.lost), len(found.new)) == ([], 1, 2)


def test_nothing_differs_between_equal_records(trials):
    found = changes.changes(changes.match(run_of(trials), run_of(trials)).pairs)
    assert len(found) == 5
    assert not any(change.differs or change.regressions for change in found)
    assert all(np.isnan(list(change.p_holm.values())).all() for change in found)


def test_a_loss_beyond_noise_is_a_regression_and_a_gain_is_none(trials):
    def change_of(drop):
        found = changes.changes(changes.match(run_of(trials), run_of(trials, worse(drop))).pairs)
        return {(c.label, c.knob): c for c in found}["implicit", 0.1]

    lost = change_of(0.1)
    assert lost.regressions == ["test_accuracy"]
    differences = [
        -0.1 + noise(t) for t in trials if t.label == "implicit" and t.setting.hyperparameters["strength"] == 0.1
    ]
    expected = stats.ttest_1samp(differences, 0)
    assert lost.p_holm["test_accuracy"] == pytest.approx(2 * expected.pvalue)  # two tests: both measures of one point
    interval = lost.differences["test_accuracy"]
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert change_of(-0.1).regressions == []
    assert change_of(0.0).regressions == []


def test_fewer_parameters_removed_is_a_regression(trials):
    after = run_of(trials, worse(0, param_sparsity=0.1))
    found = changes.changes(changes.match(run_of(trials), after).pairs)
    assert [c.regressions for c in found if c.regressions] == [["param_sparsity"]]


def test_tasks_have_steps_of_their_own(tmp_path):
    path = tmp_path / "two.toml"
    task = '[[tasks]]\ndataset = "simulated"\nnetwork = "mlp"\nwidths = [8]\n'
    path.write_text(TINY.replace(task.strip(), task + task.replace("[8]", "[9]")).replace("[0, 1]", "[0, 1, 2]"))
    trials = load_study(str(path)).trials()

    def accuracies(trial):  # of 360 images on the first task, of 10,000 on the second
        coarse = trial.task.widths == (8,)
        return {"test_accuracy": (300 + trial.seed) / 360 if coarse else (9000 + trial.seed) / 10_000}

    def one_image_less(trial):
        found = accuracies(trial)["test_accuracy"]
        hit = trial.task.widths == (8,) and trial.setting.hyperparameters.get("strength") == 0.1
        return {"test_accuracy": (299 + trial.seed) / 360 if hit else found}

    both = changes.match(run_of(trials, accuracies), run_of(trials, one_image_less)).pairs
    alone = [pair for pair in both if pair.before.task.widths == (8,)]
    for pairs in (alone, both):
        assert not [c for c in changes.changes(pairs) if c.regressions]
    assert len(alone) == len(both) / 2


def test_few_equal_steps_are_no_proof():
    step = 1 / 360
    assert changes.paired_t(np.full(3, -step), step) > 0.05
    assert changes.paired_t(np.full(3, -20 * step), step) < 0.001
    assert np.isnan(changes.paired_t(np.array([-0.5]), step))
    assert changes.paired_t(np.zeros(3), 0.0) == 1


def test_regressions_are_found_in_noise_as_rarely_as_is_said():
    generator = np.random.default_rng(0)
    families = generator.normal(size=(400, 20, 3))  # 20 points without any change, 3 seeds
    found = [changes.holm([changes.paired_t(point, 0.01) for point in family]).min() < 0.05 for family in families]
    assert 0.02 < np.mean(found) < 0.08


def test_equal_runs_have_no_regression(deadweight, trials, written):
    written(run_of(trials), run_of(trials))
    code, out, _ = deadweight("compare", "a", "b/records.jsonl")
    assert code == 0
    assert "30 trials with the same key: all with the same result" in out
    assert "0 of 5 knob points differ" in out
    assert out.splitlines()[-2] == "verdict: no regression beyond noise; next: deadweight plot tiny"


def test_a_regression_is_shown_and_exits_with_1(deadweight, trials, written):
    written(run_of(trials), run_of(trials, worse(0.1, provenance={**PROVENANCE, "commit": "b" * 40})))
    code, out, _ = deadweight("compare", "a", "b")
    assert code == 1
    assert "30 trials with the same key: 6 with another result, by at most 1" in out
    assert "(test_accuracy differ)" in out
    assert "1 of 5 knob points differ" in out
    assert "p after Holm's correction for 2 tests" in out
    (row,) = [line for line in out.splitlines() if line.rstrip().endswith("regression")]
    assert row.split()[:4] == ["simulated-mlp-8", "implicit", "0.1", "6"]
    assert out.splitlines()[-2].startswith(
        "verdict: regression: implicit at 0.1 on simulated-mlp-8: test_accuracy; next: "
    )


def test_the_code_between_two_commits_is_where_to_look(deadweight, trials, written):
    written(run_of(trials), run_of(trials, worse(0.1), provenance={**PROVENANCE, "commit": "b" * 40}))
    assert "next: git diff aaaaaaaaaa bbbbbbbbbb -- benchmark" in deadweight("compare", "a", "b")[1].splitlines()[-2]


def test_noise_is_shown_and_is_no_regression(deadweight, trials, written):
    written(run_of(trials), run_of(trials, worse(0.0)))
    code, out, _ = deadweight("compare", "a", "b")
    assert code == 0
    assert "6 with another result" in out
    assert "but the same keys gave other results; next: where the code was meant to change them" in out.splitlines()[-2]


def test_a_lost_result_is_a_regression(deadweight, trials, written):
    written(run_of(trials), [failure(trials[0]), *run_of(trials[1:])])
    code, out, _ = deadweight("compare", "a", "b")
    assert code == 1
    assert "dense on simulated-mlp-8, seed 0: ok → failed (no luck)" in out
    assert "verdict: regression: dense" in out
    assert "1 with another status" in out


def test_a_result_regained_is_none(deadweight, trials, written):
    written([failure(trials[0]), *run_of(trials[1:])], run_of(trials))
    code, out, _ = deadweight("compare", "a", "b")
    assert code == 0
    assert "failed → ok" in out


def test_lost_new_and_rekeyed_trials_are_told(deadweight, trials, written):
    after = [next_version(r) if r.label == "implicit" else r for r in run_of(trials)]
    written(run_of(trials[:-1]), after[1:])
    code, out, _ = deadweight("compare", "a", "b")
    assert code == 0
    assert "28 trials in both, 12 of them under another key; 1 lost, 1 new, 0 with another status" in out
    assert "another key (version 1 → 2): implicit, 12" in out
    assert "lost: dense on simulated-mlp-8, 1" in out
    assert "new: magnitude_filter on simulated-mlp-8, 1" in out
    assert out.splitlines()[-2] == "verdict: no regression beyond noise, 1 trials lost; next: deadweight run tiny"


def test_two_schema_versions_are_one_line(deadweight, trials, written):
    written(run_of(trials), [rekey(r, schema_version=SCHEMA + 1) for r in run_of(trials)])
    code, out, _ = deadweight("compare", "a", "b")
    assert code == 0
    (line,) = [line for line in out.splitlines() if "schema versions" in line]
    assert f"(A has {SCHEMA}; B has {SCHEMA + 1})" in line
    assert f"schema {SCHEMA} → {SCHEMA + 1}" in out
    assert "30 trials in both, 30 of them under another key" in out


def test_one_seed_is_not_tested(deadweight, trials, written):
    one = [t for t in trials if t.seed == 0]
    written(run_of(one), run_of(one, worse(0.5)))
    code, out, _ = deadweight("compare", "a", "b")
    assert code == 0
    assert "1 of 5 knob points differ" in out
    assert "1 have one seed and are not tested" in out
    assert out.splitlines()[-2].startswith("verdict: no regression can be told from one seed a point")


def test_bad_input_is_one_line(deadweight, trials, written, tmp_path):
    written(run_of(trials), [r for r in run_of(trials) if r.label == "dense"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "records.jsonl").touch()
    other = tmp_path / "other"
    other.mkdir()
    Store(other).append(next(r for r in run_of(trials) if r.label == "implicit"))
    (tmp_path / "text.md").write_text("hello\n")
    (tmp_path / "full" / "records.jsonl").mkdir(parents=True)
    for arguments, words in {
        ("a", "bb"): "unknown results 'bb'; did you mean 'b'?",
        (".", "b"): "unknown results '.'",
        ("a", "full"): "cannot read full/records.jsonl: Is a directory",
        ("a", "empty"): "empty/records.jsonl has no records",
        ("b", "other"): "b and other have no trial in common",
        ("text.md", "b"): "text.md, line 1 is not a record",
    }.items():
        code, out, err = deadweight("compare", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err

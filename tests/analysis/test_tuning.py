"""What tuning chooses, from records that nobody trained."""

import pytest

from benchmark.analysis.tuning import chosen, resolved, scores, stages
from benchmark.errors import UsageError
from benchmark.experiment.study import load_study
from tests.conftest import TINY
from tests.support.made_records import failure
from tests.support.tuned_study import TUNED, measured, tune

pytestmark = pytest.mark.usefixtures("shaped")


@pytest.fixture
def study(tmp_path):
    return tuned(tmp_path)


def tuned(tmp_path, text=TUNED):
    path = tmp_path / "tuned.toml"
    path.write_text(text)
    return load_study(str(path))


def plain(trial):
    """Dense validates at 0.9; everything else at 0.9 too, and removes half."""
    return measured(trial, 0.9, 0.0 if trial.setting.method == "dense" else 0.5)


def by_candidate(study, records, label):
    return [score for score in scores(study, records) if score.label == label]


def choice(study, records):
    return {label: score.candidate for label, score in chosen(study, records).items()}


def places(trial):
    """The candidate that a trial is of, and its place in the sweep of the knob."""
    values = trial.setting.hyperparameters
    knob = values.get("ratio", values.get("strength"))
    return trial.label[-2], knob in (0.75, 0.5, 0.1, 0.2)


def test_a_stage_is_known_once_the_one_before_is_whole(study):
    records = []
    assert list(stages(study, records)) == ["bases"]
    trials = stages(study, [])["bases"].trials()
    records = [plain(trials[0])]
    assert list(stages(study, records)) == ["bases"]
    records.append(plain(trials[1]))
    assert list(stages(study, records)) == ["bases", "others"]
    whole = tune(study, stages, plain)
    assert list(stages(study, whole)) == ["bases", "others", "evaluation"]
    assert list(stages(study, whole[:-1])) == ["bases", "others"]


def test_a_study_without_tuning_is_its_own_stage(tmp_path):
    study = tuned(tmp_path, TINY)
    assert stages(study, []) == {"evaluation": study}
    assert resolved(study, []) is study
    assert scores(study, []) == []


def test_a_base_is_chosen_by_its_validation_accuracy(study):
    def outcome(trial):
        return measured(trial, 0.95 if trial.label == "dense ⟨2⟩" else 0.9)

    records = tune(study, stages, outcome)
    assert [(s.candidate, s.score, s.accuracy, s.chosen) for s in by_candidate(study, records, "dense")] == [
        (1, 0.9, 0.9, False),
        (2, 0.95, 0.95, True),
    ]
    second = stages(study, records)["others"]
    assert {t.base.hyperparameters["learning_rate"] for t in second.trials() if t.base} == {0.05}


def test_a_label_without_a_knob_is_chosen_by_its_validation_accuracy(tmp_path):
    text = TUNED.replace("[methods.implicit]", '[methods.again]\nmethod = "dense"\n\n[methods.implicit]')
    study = tuned(tmp_path, text + "again = [{ strength = 0.1 }, { strength = 0.2 }]\n")

    def outcome(trial):
        return measured(trial, 0.5) if trial.label == "again ⟨1⟩" else plain(trial)

    records = tune(study, stages, outcome)
    assert [(s.score, s.chosen) for s in by_candidate(study, records, "again")] == [(0.5, False), (0.9, True)]


def test_a_method_is_scored_by_the_area_above_the_floor(study):
    """Floor 0.88, so the rectangle is 0.12 high: 0.25 × (0.94 − 0.88) + 0.25 × (0.9 − 0.88) of it is dominated."""

    def outcome(trial):
        if trial.label == "implicit ⟨2⟩":
            return measured(trial, *((0.9, 0.5) if places(trial)[1] else (0.94, 0.25)))
        return plain(trial)

    found = by_candidate(study, tune(study, stages, outcome), "implicit")
    assert found[1].score == pytest.approx((0.25 * 0.06 + 0.25 * 0.02) / 0.12)
    assert found[1].accuracy == 0.94
    assert found[0].score == pytest.approx(0.5 * 0.02 / 0.12)
    assert [score.chosen for score in found] == [False, True]
    assert found[1].values == {"learning_rate": 0.01, "strength": [0.002, 0.2]}


def test_what_validates_below_the_floor_counts_nothing(study):
    def outcome(trial):
        return measured(trial, 0.879, 0.99) if trial.label == "implicit ⟨1⟩" else plain(trial)

    found = by_candidate(study, tune(study, stages, outcome), "implicit")
    assert [score.score for score in found] == [0.0, pytest.approx(0.5 * 0.02 / 0.12)]


def test_the_floor_is_below_the_best_dense_candidate(study):
    def outcome(trial):
        return measured(trial, 0.93) if trial.label == "dense ⟨2⟩" else plain(trial)

    assert {s.score for s in scores(study, tune(study, stages, outcome)) if s.label != "dense"} == {0.0}


def test_failures_count_nothing_and_collapsed_networks_what_they_measure(study):
    def outcome(trial):
        if trial.label == "implicit ⟨1⟩":
            return failure(trial)
        if trial.label == "magnitude_filter ⟨1⟩" and places(trial)[1]:
            return failure(trial).model_copy(update={"status": "diverged"})
        if trial.label == "scratch ⟨2⟩":
            return measured(trial, 0.9, 0.7, status="collapsed")
        return plain(trial)

    records = tune(study, stages, outcome)
    assert [score.score for score in by_candidate(study, records, "implicit")] == [0.0, pytest.approx(0.01 / 0.12)]
    assert [score.score for score in by_candidate(study, records, "scratch")][1] == pytest.approx(0.7 * 0.02 / 0.12)
    assert choice(study, records) == {"dense": 1, "implicit": 2, "magnitude_filter": 1, "scratch": 2}


def test_of_equal_scores_the_more_accurate_is_chosen_then_the_earlier(study):
    def outcome(trial):
        place, _ = places(trial)
        if trial.setting.method == "implicit":  # nothing is removed, so both score 0
            return measured(trial, 0.9 if place == "1" else 0.91)
        return plain(trial)

    records = tune(study, stages, outcome)
    assert choice(study, records) == {"dense": 1, "implicit": 2, "magnitude_filter": 1, "scratch": 1}


def test_a_method_without_any_result_takes_its_first_candidate(study):
    def outcome(trial):
        return failure(trial) if trial.setting.method == "magnitude_filter" else plain(trial)

    assert choice(study, tune(study, stages, outcome))["magnitude_filter"] == 1


def test_test_accuracy_chooses_nothing(study):
    def outcome(trial):
        place, strong = places(trial)
        good = place == "2"
        return measured(trial, 0.9 if good else 0.895, 0.5 if strong else 0.2, test_accuracy=0.1 if good else 1.0)

    records = tune(study, stages, outcome)
    honest = scores(study, records)
    blind = scores(study, [r.model_copy(update={"test_accuracy": 1 - r.test_accuracy}) for r in records])
    unseen = scores(study, [r.model_copy(update={"test_accuracy": None}) for r in records])
    assert blind == unseen == honest
    assert set(choice(study, records).values()) == {2}


def test_the_order_of_records_chooses_nothing(study):
    records = tune(study, stages, plain)
    assert scores(study, records[::-1]) == scores(study, records)


def test_a_label_that_follows_gets_the_shapes_of_the_chosen_candidate_sorted_and_merged(tmp_path):
    study = tuned(
        tmp_path, TUNED.replace("[0.001, 0.1]", "[0.001, 0.01, 0.1]").replace("[0.002, 0.2]", "[0.1, 0.2, 1]")
    )

    def outcome(trial):
        if trial.label == "implicit ⟨2⟩":
            left = 3 if trial.setting.hyperparameters["strength"] > 0.1 else 7
            return measured(trial, 0.9, 1 - left / 8, left)
        return plain(trial)

    plan = resolved(study, tune(study, stages, outcome))
    assert plan.methods["scratch"]["points"] == [{"ratio": 0.125, "left": "7"}, {"ratio": 0.625, "left": "3"}]
    assert plan.planned()["scratch"] == 4 < study.planned()["scratch"]


def test_a_shape_names_the_channels_of_every_group(tmp_path):
    study = tuned(tmp_path, TUNED.replace("widths = [8]", "widths = [4, 4]"))

    def outcome(trial):
        return plain(trial).model_copy(update={"channels_left": {"a": 3, "b": 1}})

    plan = resolved(study, tune(study, stages, outcome))
    assert plan.methods["scratch"]["points"] == [{"ratio": 0.5, "left": "3-1"}]


def test_scores_are_means_over_tasks(tmp_path):
    second = '[[tasks]]\ndataset = "simulated"\nnetwork = "mlp"\nwidths = [16]\n\n[methods.dense]'
    study = tuned(tmp_path, TUNED.replace("[methods.dense]", second, 1).replace('follows = "implicit"', ""))

    def outcome(trial):
        if trial.task.widths == (8,):
            return plain(trial)
        if trial.label == "implicit ⟨1⟩":
            return failure(trial)
        return measured(trial, 0.7, 0.0 if trial.setting.method == "dense" else 0.25)

    found = by_candidate(study, tune(study, stages, outcome), "implicit")
    first, other = 0.5 * 0.02 / 0.12, 0.25 * 0.02 / 0.32
    assert [score.score for score in found] == [pytest.approx(first / 2), pytest.approx((first + other) / 2)]
    assert [score.accuracy for score in found] == [pytest.approx(0.45), pytest.approx(0.8)]


def test_an_unfinished_tuning_is_one_line_that_says_what_is_left(study):
    with pytest.raises(UsageError, match=r"'tuned' is not tuned yet: 2 of 2 trials of the stage bases"):
        resolved(study, [])
    records = tune(study, stages, plain)
    with pytest.raises(UsageError, match=r"1 of 13 trials of the stage others have no record"):
        resolved(study, records[:-1])


def test_without_a_floor_or_a_shape_nothing_is_chosen(study):
    trials = stages(study, [])["bases"].trials()
    records = [failure(trial) for trial in trials]
    assert list(stages(study, records)) == ["bases"]
    with pytest.raises(UsageError, match="no candidate of 'dense' has a result"):
        resolved(study, records)
    records = [plain(trial) for trial in trials]
    for trial in stages(study, records)["others"].trials():
        if trial.label != "dense":
            records.append(failure(trial) if trial.setting.method == "implicit" else plain(trial))
    with pytest.raises(UsageError, match="nothing that 'scratch' follows has a result"):
        resolved(study, records)


def test_scores_are_known_as_far_as_tuning_is(study):
    records = [plain(trial) for trial in stages(study, [])["bases"].trials()]
    assert {score.label for score in scores(study, records)} == {"dense"}
    assert [score.label for score in scores(study, tune(study, stages, plain))] == [
        label for label in study.methods for _ in range(2)
    ]

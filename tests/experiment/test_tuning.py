"""The plain studies that a tuned study consists of, and what it may not ask for."""

import pytest

from benchmark.errors import UsageError
from benchmark.experiment.study import load_study
from benchmark.experiment.tuning import base_labels, bases, evaluation, is_candidate, others, sizes
from tests.conftest import TINY
from tests.support.tuned_study import TUNED

CHOICE = {
    "dense": {"learning_rate": 0.05},
    "implicit": {"learning_rate": 0.01, "strength": [0.002, 0.2]},
    "magnitude_filter": {"learning_rate": 0.1},
    "scratch": {"learning_rate": 0.1},
}
SHAPES = {"scratch": [{"ratio": 0.25, "left": "6"}, {"ratio": 0.75, "left": "2"}]}

pytestmark = pytest.mark.usefixtures("shaped")


def tuned(tmp_path, text=TUNED):
    path = tmp_path / "tuned.toml"
    path.write_text(text)
    return load_study(str(path))


def values(study, name):
    """By label what the trials have for a hyperparameter."""
    found = {}
    for trial in study.trials():
        found.setdefault(trial.label, []).append(trial.setting.hyperparameters.get(name))
    return found


def test_bases_are_tuned_first_and_alone_on_the_tuning_seed(tmp_path):
    stage = bases(tuned(tmp_path))
    assert values(stage, "learning_rate") == {"dense ⟨1⟩": [0.1], "dense ⟨2⟩": [0.05]}
    assert {trial.seed for trial in stage.trials()} == {100}
    assert stage.name == "tuned"


def test_a_base_is_what_another_labels_network_starts_from(tmp_path):
    """Not what trains its own, and not the control's method under another name."""
    more = '[methods.network_slimming]\n\n[methods.again]\nmethod = "dense"\n\n[tuning]'
    text = TUNED.replace("[tuning]", more, 1)
    text += "again = [{ strength = 0.1 }, { strength = 0.2 }]\n"
    text += "network_slimming = [{ learning_rate = 0.1 }, { learning_rate = 0.05 }]\n"
    assert base_labels(tuned(tmp_path, text)) == ["dense"]


def test_others_start_from_the_base_that_was_chosen(tmp_path):
    stage = others(tuned(tmp_path), CHOICE)
    assert {t.base.hyperparameters["learning_rate"] for t in stage.trials() if t.base} == {0.05}
    assert {trial.seed for trial in stage.trials()} == {100}
    found = values(stage, "learning_rate")
    assert found["implicit ⟨1⟩"] == [0.001, 0.001]
    assert found["implicit ⟨2⟩"] == [0.01, 0.01]
    assert found["dense"] == [0.05]
    labels = [label for label in stage.methods if is_candidate(label)]
    assert len(labels) == 6


def test_a_candidate_may_sweep_the_knob_elsewhere(tmp_path):
    stage = others(tuned(tmp_path), CHOICE)
    strengths = values(stage, "strength")
    assert strengths["implicit ⟨1⟩"] == [0.001, 0.1]
    assert strengths["implicit ⟨2⟩"] == [0.002, 0.2]


def test_the_chosen_base_is_the_candidate_that_was_tried(tmp_path):
    study = tuned(tmp_path)
    (again,) = [trial.key for trial in others(study, CHOICE).trials() if trial.label == "dense"]
    assert again in {trial.key for trial in bases(study).trials()}


def test_the_evaluation_has_what_was_chosen_under_the_studys_labels_and_seeds(tmp_path):
    plan = evaluation(tuned(tmp_path), CHOICE, SHAPES)
    assert list(plan.methods) == ["dense", "implicit", "magnitude_filter", "scratch"]
    assert plan.tuning is None
    assert [trial.seed for trial in plan.trials()] == [0] * 7 + [1] * 7
    assert values(plan, "strength")["implicit"] == [0.002, 0.2] * 2
    assert values(plan, "learning_rate")["dense"] == [0.05] * 2


def test_a_label_that_follows_is_evaluated_at_the_shapes_it_is_given(tmp_path):
    trials = [t.setting.hyperparameters for t in evaluation(tuned(tmp_path), CHOICE, SHAPES).trials()[5:7]]
    assert [(t["ratio"], t["left"], t["learning_rate"]) for t in trials] == [(0.25, "6", 0.1), (0.75, "2", 0.1)]


def test_keys_of_the_evaluation_depend_on_the_chosen_numbers_alone(tmp_path):
    tuned_keys = [trial.key for trial in evaluation(tuned(tmp_path), CHOICE, SHAPES).trials()]
    written = TUNED.partition("[tuning]")[0]
    written = written.replace("[methods.dense]", "[methods.dense]\nlearning_rate = 0.05")
    written = written.replace("[0.001, 0.1]", "[0.002, 0.2]\nlearning_rate = 0.01")
    points = '[{ ratio = 0.25, left = "6" }, { ratio = 0.75, left = "2" }]'
    written = written.replace('ratio = [0.25, 0.5]\nfollows = "implicit"', f"points = {points}\nlearning_rate = 0.1")
    assert "follows" not in written
    assert [trial.key for trial in tuned(tmp_path, written).trials()] == tuned_keys


def test_sizes_are_known_before_anything_is_chosen(tmp_path):
    assert sizes(tuned(tmp_path)) == {"bases": 2, "others": 1 + 3 * 2 * 2, "evaluation": 2 * (1 + 2 + 2 + 2)}


def test_a_study_with_tuning_has_no_trials_of_its_own(tmp_path):
    with pytest.raises(UsageError, match="is tuned first"):
        tuned(tmp_path).trials()


TWO_TASKS = '[[tasks]]\ndataset = "simulated"\nnetwork = "mlp"\nwidths = [16]\n\n[methods.dense]'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 100", "seed = 1", "seed 1 is one of the seeds"),
        ("seed = 100", "sede = 100", "unknown key 'sede'; did you mean 'seed'"),
        ("dense = [{ learning_rate = 0.1 }, ", "dense = [", "has 2 for 'implicit' and 1 for 'dense'"),
        ("dense = [{ learning_rate", "dens = [{ learning_rate", "unknown label 'dens'; did you mean 'dense'"),
        ("magnitude_filter = [{ learning_rate = 0.1 }, { learning_rate = 0.05 }]\n", "", "none for 'magnitude_filter'"),
        ("dense = [{ learning_rate = 0.1 }", "dense = [{ learning_rate = 0.05 }", "candidate of 'dense' twice"),
        ("dense = [{ learning_rate = 0.1 }", 'dense = [{ title = "A" }', "'title' of 'dense' is no hyperparameter"),
        ("[methods.dense]\n", "", "needs the label 'dense'"),
        ("seeds =", 'sampler = "random"\nsamples = 2\nseeds =', "needs the sampler grid"),
        ("[tuning]", '[conditions]\nof = "dense"\nfactors = {}\n[tuning]', "and no conditions"),
        ('follows = "implicit"', 'follows = "implicit_"', "follows 'implicit_', which is no label"),
        ('follows = "implicit"', 'follows = "scratch"', "follows 'scratch', which is no label"),
        ("[methods.dense]", TWO_TASKS, "follows 'implicit', which needs a study of one task"),
    ],
)
def test_an_unfair_tuning_is_refused_in_one_line(tmp_path, old, new, words):
    assert old in TUNED
    with pytest.raises(UsageError) as caught:
        tuned(tmp_path, TUNED.replace(old, new, 1))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("dense = [{ learning_rate", "dense = [{ learning_rat", r"\[methods.dense ⟨1⟩\]: unknown hyperparameter"),
        ("dense = [{ learning_rate = 0.1", "dense = [{ learning_rate = -1", r"⟨1⟩\]: learning_rate = -1 is not"),
        ("dense = [{ learning_rate = 0.1 }, { learning_rate = 0.05 }]", "dense = [{}, { learning_rate = 0.1 }]", "⟨2⟩"),
        ("strength = [0.002, 0.2]", "strength = [0.002]", "candidate 2 of 'implicit' has 1 points"),
        ("strength = [0.002, 0.2]", "strength = 0.2", r"2 of 'implicit' has 1 points for its knob, .*implicit\] 2"),
    ],
)
def test_a_candidate_that_is_no_setting_of_its_method_is_refused(tmp_path, old, new, words):
    assert old in TUNED
    with pytest.raises(UsageError, match=words):
        sizes(tuned(tmp_path, TUNED.replace(old, new, 1)))


def test_only_a_method_that_takes_shapes_can_follow(tmp_path):
    text = TUNED.replace("ratio = [0.25, 0.75]", 'ratio = [0.25, 0.75]\nfollows = "implicit"')
    with pytest.raises(UsageError, match=r"\[methods.magnitude_filter\] follows, but its method takes no shape"):
        sizes(tuned(tmp_path, text))


def test_following_needs_tuning(tmp_path):
    with pytest.raises(UsageError, match=r"follows 'implicit', which needs \[tuning\]"):
        tuned(tmp_path, TUNED.partition("[tuning]")[0])


@pytest.mark.parametrize("points", ["3", "[]", "[0.25]"])
def test_points_are_a_list_of_tables(tmp_path, points):
    with pytest.raises(UsageError, match=r"\[methods.implicit\]: points is no list of tables"):
        tuned(tmp_path, TINY.replace("strength = [0.001, 0.1]", f"points = {points}"))


def test_points_need_the_sampler_grid(tmp_path):
    text = TINY.replace("strength = [0.001, 0.1]", "points = [{ strength = 0.1 }]")
    with pytest.raises(UsageError, match="points need the sampler grid"):
        tuned(tmp_path, text.replace("seeds =", 'sampler = "random"\nsamples = 2\nseeds ='))

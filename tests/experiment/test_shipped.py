"""The studies that come with the suite."""

from benchmark.experiment.coverage import remaining
from benchmark.experiment.names import study_names
from benchmark.experiment.study import load_study
from benchmark.experiment.tuning import EVALUATION, bases, sizes


def comparisons():
    return [name for name in study_names() if load_study(name).kind == "comparison"]


def test_every_study_of_the_suite_loads():
    assert {"digits", "smoke"} <= set(study_names())
    for name in study_names():
        study = load_study(name)
        if study.tuning:
            assert sizes(study)[EVALUATION] == study.size > 0
        else:
            assert len(remaining(study, [], retry_failed=False)) == study.size > 0


def test_labels_are_those_of_the_trials_by_their_keys():
    for name in study_names():
        study = load_study(name)
        plain = bases(study) if study.tuning else study
        trials = plain.trials()
        assert plain.labels() == {trial.key: trial.label for trial in trials}
        assert len(plain.labels()) == len(trials) == (0 if plain.sampler == "optuna" else plain.size)
        if not plain.conditions and name != "digits_optimizers":  # of its λ 0 is one: no ratio leads there
            drawn = plain.model_copy(update={"sampler": "random", "samples": 2})
            assert drawn.labels() == {trial.key: trial.label for trial in drawn.trials()}


def test_every_study_has_a_dense_control_and_enough_seeds():
    for name in study_names():
        study = load_study(name)
        assert "dense" in study.methods
        assert len(study.seeds) >= 3 or name in ("smoke", "pilot_cifar10")


def test_what_ranks_methods_is_tuned_by_one_rule_and_has_every_control():
    shown = {"smoke": "that all runs", "digits_tuned": "Optuna", "digits_optimizers": "one method, five optimisers"}
    ranking = {name for name in comparisons() if not load_study(name).conditions} - set(shown)
    assert {"digits", "digits_full", "mnist", "cifar10"} <= ranking
    for name in ranking:
        study = load_study(name)
        assert study.tuning, name
        assert {"dense", "scratch", "random_filter", "implicit", "implicit_fine_tune"} <= set(study.methods), name
        assert study.protocol.split_seed == "seed", name


def test_methods_have_equally_many_knob_points():
    for name in comparisons():
        counts = {label: count for label, count in load_study(name).planned().items() if label != "dense"}
        assert len(set(counts.values())) == 1, name


def test_every_label_that_fine_tunes_says_so_at_the_end_of_its_legend_and_no_other_does():
    for name in study_names():
        study = load_study(name)
        for label in study.tables:
            slot = next(slot for slot in study.slots() if slot.label == label)
            trial = study.trial(slot, study.setting(label, {}))
            tunes = trial.stages[1] < trial.protocol.epochs
            assert study.legend(label).count(" + fine-tune") == tunes, (name, label)
            assert study.legend(label).endswith(" + fine-tune") == tunes, (name, label)


def test_mnist_has_the_point_that_the_paper_is_held_against():
    study = load_study("mnist")
    (point,) = [p.hyperparameters for p in study.points("implicit_paper") if p.hyperparameters["strength"] == 0.001]
    assert (point["optimizer"], point["learning_rate"], point["threshold"]) == ("adam", 0.001, 1e-15)
    assert {"learning_rate": 0.001} in study.tuning.candidates["implicit_paper"]

from collections import Counter
from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.experiment.coverage import own_records
from benchmark.experiment.hashing import trial_key
from benchmark.experiment.sampling import space
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.experiment.trial import MethodSetting, Protocol, Task
from benchmark.method.registry import get_method
from tests.conftest import TINY


def write(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text)
    return str(path)


def test_golden_key():
    """The key of a trial may change only together with SCHEMA or a method's version."""
    key = trial_key(
        1,
        Task(dataset="digits", network="mlp", widths=(256,)),
        MethodSetting(method="implicit", version=1, hyperparameters={"strength": 0.001, "optimizer": "adam"}),
        None,
        Protocol(epochs=200),
        0,
    )
    assert key == "9cbe4f02b2c080eb764bd9d463f053b55fb1133bb09473983279f3d2fa2d2d9f"


def test_key_depends_on_all_that_determines_the_result(tiny):
    trial = load_study(str(tiny)).trials()[2]
    changes = [
        {"seed": 7},
        {"task": trial.task.model_copy(update={"activation": "tanh"})},
        {"task": trial.task.model_copy(update={"augment": "flip"})},
        {"protocol": trial.protocol.model_copy(update={"epochs": 5})},
        {"setting": trial.setting.model_copy(update={"version": 2})},
        {"setting": trial.setting.model_copy(update={"hyperparameters": {"strength": 0.5}})},
        {"base": trial.setting},
        {"fine_tune": True},
        {"fine_tune": False},
    ]
    keys = {trial.model_copy(update=change).key for change in changes}
    assert len(keys | {trial.key}) == len(changes) + 1
    assert trial.model_copy(update={"label": "other", "study": "other"}).key == trial.key


def test_plan_is_deterministic_and_complete(tiny):
    plan = load_study(str(tiny))
    keys = [t.key for t in plan.trials()]
    assert keys == [t.key for t in load_study(str(tiny)).trials()]
    assert len(set(keys)) == len(keys) == 2 * (1 + 2 + 2)


def test_budget_is_equal_for_all(tiny):
    for trial in load_study(str(tiny)).trials():
        base_end, train_end = trial.stages
        assert 0 <= base_end <= train_end <= trial.protocol.epochs
        assert (train_end < trial.protocol.epochs) == (trial.setting.method == "magnitude_filter")


def test_base_takes_the_settings_of_the_study(tmp_path):
    path = write(tmp_path, TINY.replace("[methods.dense]", "[methods.dense]\nlearning_rate = 0.05"))
    bases = [t.base for t in load_study(path).trials() if t.base]
    assert bases
    assert {b.hyperparameters["learning_rate"] for b in bases} == {0.05}


def test_legends_are_the_methods_unless_the_study_has_another(tmp_path):
    text = TINY.replace(
        "[methods.implicit]",
        '[methods.slow]\nmethod = "implicit"\n[methods.sgd]\nmethod = "implicit"\n'
        'title = "SGD + L2"\noptimizer = "sgd"\n[methods.implicit]',
    )
    plan = load_study(write(tmp_path, text))
    assert [plan.legend(label) for label in plan.methods] == [
        "Dense", "Adam + L2 (implicit) (slow)", "SGD + L2", "Adam + L2 (implicit)", "Filter magnitude + fine-tune"
    ]  # fmt: skip
    assert "title" not in plan.setting("sgd", {}).hyperparameters


def test_fine_tuning_is_for_all_or_none_and_the_usual_one_is_no_part_of_the_key(tmp_path):
    usual = load_study(write(tmp_path, TINY)).trials()
    text = TINY.replace("strength = [", "fine_tune = false\nstrength = [").replace("ratio", "fine_tune = true\nratio")
    assert [t.key for t in load_study(write(tmp_path, text)).trials()] == [t.key for t in usual]
    turned = load_study(write(tmp_path, text.replace("true", "no").replace("false", "true").replace("no", "false")))
    assert {t.label: t.stages for t in turned.trials()} == {
        "dense": (0, 4), "implicit": (0, 3), "magnitude_filter": (4, 4)
    }  # fmt: skip
    assert {t.label: t.fine_tune for t in turned.trials()} == {
        "dense": None, "implicit": True, "magnitude_filter": False
    }  # fmt: skip
    assert not {t.key for t in turned.trials() if t.label != "dense"} & {t.key for t in usual}
    assert [turned.legend(label) for label in turned.tables] == [
        "Dense", "Adam + L2 (implicit) + fine-tune", "Filter magnitude"
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"\[methods.implicit\]: fine_tune = 1 is neither true nor false"):
        load_study(write(tmp_path, text.replace("false", "1")))


def test_the_same_method_may_stand_beside_itself_fine_tuned_on_the_same_base(tmp_path):
    text = TINY + '[methods.kept]\nmethod = "magnitude_filter"\nfine_tune = false\nratio = [0.25, 0.75]\n'
    tuned, kept = (
        [t for t in load_study(write(tmp_path, text)).trials() if t.label == x] for x in ("magnitude_filter", "kept")
    )
    assert {t.base_trial.key for t in tuned} == {t.base_trial.key for t in kept}
    assert not {t.base_key for t in tuned} & {t.base_key for t in kept}  # of 3 and of 4 epochs


def test_each_seed_may_have_a_split_of_its_own_with_one_test_set_and_that_is_another_trial(tmp_path):
    usual = load_study(write(tmp_path, TINY)).trials()
    own = load_study(write(tmp_path, TINY.replace("epochs = 4", 'epochs = 4\nsplit_seed = "seed"'))).trials()
    fixed = load_study(write(tmp_path, TINY.replace("epochs = 4", "epochs = 4\nsplit_seed = 3"))).trials()
    assert {t.split_seeds for t in usual} == {(0, 0)}
    assert {t.split_seeds for t in own} == {(0, 0), (1, 0)}
    assert {t.split_seeds for t in fixed} == {(3, 3)}
    assert len({t.key for t in (*usual, *own, *fixed)}) == 3 * len(usual)
    assert all(t.base_trial.split_seeds == t.split_seeds for t in own if t.base)


def test_a_title_can_neither_hide_fine_tuning_nor_claim_it(tmp_path):
    told = {
        'title = "A"\nfine_tune = true': "A + fine-tune",
        'title = "A + fine-tune"\nfine_tune = true': "A + fine-tune",
        'title = "A + fine-tune"': "A",
    }
    for table, legend in told.items():
        text = TINY.replace("[methods.implicit]", f"[methods.implicit]\n{table}")
        assert load_study(write(tmp_path, text)).legend("implicit") == legend
    nothing = TINY.replace("epochs = 4", "epochs = 4\nfine_tune_share = 0.0")
    assert load_study(write(tmp_path, nothing)).legend("magnitude_filter") == "Filter magnitude"


@pytest.mark.parametrize("sampler", ["random", "optuna"])
def test_no_sampler_chooses_a_text_or_the_rule(tmp_path, sampler):
    plan = sampled(tmp_path, sampler, 3, TINY.replace("[methods.implicit]", "[methods.scratch]\n[methods.implicit]"))
    assert "left" not in space(plan, "scratch")
    for trial in plan.trials():
        values = trial.setting.hyperparameters
        assert values.get("left", "") == ""
        assert isinstance(values.get("threshold", 0.0), float)


def test_every_committed_record_of_the_conditions_is_of_a_trial_that_the_study_still_has():
    records = Store(Path(__file__).parents[2] / "results" / "conditions_mnist").load()
    study = load_study("conditions_mnist")
    unchanged = [r for r in records if get_method(r.setting.method).version == r.setting.version]
    assert all(r.expected_key() == r.key for r in records)
    assert {r.setting.method for r in unchanged} >= {"dense", "implicit"}
    assert {r.key for r in own_records(study, records)} == {r.key for r in unchanged}


def test_a_base_that_the_study_does_not_list_has_its_defaults(tmp_path):
    plan = load_study(write(tmp_path, TINY.replace("[methods.dense]\n", "")))
    (base,) = {t.base.model_dump_json() for t in plan.trials() if t.base}
    dense = get_method("dense")
    assert MethodSetting.model_validate_json(base) == MethodSetting(
        method="dense", version=dense.version, hyperparameters=dense.validate({})
    )


def test_a_label_that_has_a_bases_name_but_not_its_method_is_no_base(tmp_path):
    text = TINY.replace("[methods.dense]", '[methods.dense]\nmethod = "implicit"\nstrength = 0.5')
    bases = [t.base for t in load_study(write(tmp_path, text)).trials() if t.base]
    assert {base.method for base in bases} == {"dense"}


def test_schedule_halves_every_quarter_of_a_part_whatever_the_whole():
    protocol = Protocol(epochs=60)
    assert [protocol.learning_rate_factor(e, 8) for e in range(8)] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert [protocol.learning_rate_factor(e, 3) for e in range(3)] == [1, 0.5, 0.25]


def sampled(tmp_path, sampler, samples, text=TINY):
    text = text.replace("seeds =", f'sampler = "{sampler}"\nsamples = {samples}\nseeds =')
    return load_study(write(tmp_path, text))


def test_random_samples_are_equally_many_distinct_and_reproducible(tmp_path):
    plan = sampled(tmp_path, "random", 5)
    trials = plan.trials()
    counts = Counter((t.label, t.seed) for t in trials)
    assert set(counts.values()) == {5}
    assert len(counts) == 3 * 2
    assert len({t.key for t in trials}) == len(trials) == plan.size
    assert [t.key for t in sampled(tmp_path, "random", 5).trials()] == [t.key for t in trials]
    assert {t.key for t in trials} < {t.key for t in sampled(tmp_path, "random", 6).trials()}


def test_golden_sample(tmp_path):
    """A sampled study's values may change only together with SCHEMA."""
    trial = next(t for t in sampled(tmp_path, "random", 1).trials() if t.label == "implicit")
    values = dict(trial.setting.hyperparameters)
    assert values.pop("optimizer") == "rmsprop"
    assert values == pytest.approx(
        {"strength": 0.018163564562877887, "learning_rate": 0.0022526675737930403, "threshold": 4.426998075917887e-14}
    )


@pytest.mark.parametrize("sampler", ["random", "optuna"])
def test_a_sampler_refuses_a_knob_point_out_of_range_before_anything_runs(tmp_path, sampler):
    with pytest.raises(UsageError, match=r"\[methods.implicit\]: strength = -1"):
        sampled(tmp_path, sampler, 2, TINY.replace("[0.001, 0.1]", "[0.001, -1.0]")).trials()


@pytest.mark.parametrize("sampler", ["random", "optuna"])
def test_a_sampler_refuses_a_range_from_0_of_what_is_drawn_by_ratios(tmp_path, sampler):
    with pytest.raises(UsageError, match=r"\[methods\.implicit\]: 'strength' is drawn by ratios, so its range begins"):
        sampled(tmp_path, sampler, 2, TINY.replace("[0.001, 0.1]", "[0.0, 0.1]")).trials()


def test_samples_stay_in_the_given_range_and_leave_what_the_table_fixes(tmp_path):
    fixed = TINY.replace("strength = [0.001, 0.1]", "strength = [0.001, 0.1]\nlearning_rate = 0.05")
    plan = sampled(tmp_path, "random", 20, fixed)
    values = [t.setting.hyperparameters for t in plan.trials() if t.label == "implicit"]
    assert all(0.001 <= v["strength"] <= 0.1 for v in values)
    assert {v["learning_rate"] for v in values} == {0.05}
    assert len({v["optimizer"] for v in values}) > 3
    assert len({t.base.model_dump_json() for t in plan.trials() if t.base}) == 1


def test_a_knob_without_points_is_sampled_from_the_span_of_its_grid(tmp_path):
    plan = sampled(tmp_path, "random", 20, TINY.replace("strength = [0.001, 0.1]", ""))
    grid = get_method("implicit").space["strength"].grid
    values = [t.setting.hyperparameters["strength"] for t in plan.trials() if t.label == "implicit"]
    assert min(grid) <= min(values) < max(values) <= max(grid)
    assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs = 4", "epoch = 4", ["epochs"]),
        ("epochs = 4", "epochs = 0", ["protocol.epochs", "greater than or equal to 1, not 0"]),
        ("epochs = 4", "epochs = 'four'", ["protocol.epochs", "valid integer"]),
        (
            "epochs = 4",
            "epochs = 4\nsplit_seed = 'seeds'",
            ["protocol.split_seed", "a number from 0 to 2³² − 1, or", "not 'seeds'"],
        ),
        ("epochs = 4", "epochs = 4\nsplit_seed = -1", ["protocol.split_seed", "a number from 0", "not -1"]),
        ("epochs = 4", "epochs = 4\nlearning_rate = 1", ["unknown key 'learning_rate'"]),
        ("seeds = [0, 1]", "seeds = []", ["seeds"]),
        ("seeds = [0, 1]", "seeds = [0, 0]", ["seed 0 is there twice"]),
        ("seeds = [0, 1]", "seed = [0, 1]", ["'seed'", "did you mean 'seeds'"]),
        ('"simulated"', '"digit"', ["unknown dataset 'digit'", "did you mean 'digits'"]),
        ('"mlp"', '"mpl"', ["unknown network 'mpl'", "did you mean 'mlp'"]),
        ("widths = [8]", "widths = [0]", ["widths"]),
        ("widths = [8]", 'activation = "rellu"', ["unknown activation 'rellu'", "did you mean 'relu'"]),
        ("widths = [8]", "width = [8]", ["unknown key 'width'", "did you mean 'widths'"]),
        ("[methods.implicit]", "[methods.implict]", ["unknown method 'implict'", "did you mean 'implicit'"]),
        ("strength = [0.001, 0.1]", "strength = []", ["[methods.implicit]", "no point for its knob 'strength'"]),
        ("strength = [0.001, 0.1]", "strenght = 0.1", ["unknown hyperparameter 'strenght'"]),
        ("strength = [0.001, 0.1]", "strength = [-1.0]", ["strength = -1.0 is not a number from 0"]),
        ("strength = [0.001, 0.1]", 'optimizer = "adamm"', ["optimizer = 'adamm' is not one of"]),
        ("strength = [0.001, 0.1]", "strength = [0.1, 0.1]", ["knob point twice"]),
        (
            "[methods.implicit]",
            '[methods.again]\nmethod = "dense"\n[methods.implicit]',
            ["repeats a point of [methods.dense]"],
        ),
        ("[methods.implicit]", "[methods.dense]\n[methods.implicit]", ["cannot be read"]),
        ("seeds =", 'sampler = "optuna"\nseeds =', ["need the key 'samples'"]),
        ("seeds =", "samples = 3\nseeds =", ["grid has none"]),
        ("seeds =", 'sampler = "sobol"\nsamples = 3\nseeds =', ["sampler", "'grid', 'random' or 'optuna'"]),
        ("title", 'name = "../elsewhere"\ntitle', ["unknown key 'name'"]),
        ("title", "title =", ["cannot be read"]),
        ('title = "Tiny"', "", ["the key 'title' is missing"]),
    ],
)
def test_bad_study_gets_one_clear_line(tmp_path, old, new, words):
    assert old in TINY
    with pytest.raises(UsageError) as caught:
        load_study(write(tmp_path, TINY.replace(old, new, 1))).trials()
    message = str(caught.value)
    assert "None" not in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_unknown_study_gets_the_nearest():
    with pytest.raises(UsageError, match=r"^unknown study 'digit'; did you mean 'digits'"):
        load_study("digit")
    with pytest.raises(UsageError, match="does not exist"):
        load_study("nowhere.toml")


def test_a_file_that_begins_with_an_editors_mark_is_read(tiny):
    plain = load_study(str(tiny))
    tiny.write_bytes(b"\xef\xbb\xbf" + tiny.read_bytes())
    assert load_study(str(tiny)) == plain

"""A study that reproduces, what it may and a comparison may not, and that what was added since has changed no key."""

from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.experiment.trial import Protocol, Task
from benchmark.method.registry import get_method
from tests.conftest import TINY
from tests.support.reproduction import REPRODUCTION

RESULTS = Path(__file__).parents[2] / "results"


def load(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text)
    return load_study(str(path))


@pytest.mark.parametrize("name", ["digits", "digits_optimizers", "conditions_mnist"])
def test_the_keys_of_committed_records_are_those_that_their_trials_have_today(name):
    records = Store(RESULTS / name).load()
    current = [r for r in records if get_method(r.setting.method).version == r.setting.version]
    assert len(current) > 50
    for record in current:
        values = get_method(record.setting.method).validate(record.setting.hyperparameters)
        setting = record.setting.model_copy(update={"hyperparameters": values})
        assert record.trial.model_copy(update={"setting": setting}).key == record.key
    for name in ("dense", "network_slimming", "magnitude_filter"):
        settings = [r.setting.hyperparameters for r in current if r.setting.method == name]
        assert all(set(get_method(name).validate({})) == set(values) for values in settings)


def test_an_option_that_a_protocol_or_task_does_not_set_is_no_part_of_what_its_key_is_made_of():
    protocol, task = Protocol(epochs=8), Task(dataset="mnist", network="mlp")
    added = {"schedule", "warm_up", "fine_tune_decay", "watch_test", "channels_last", "precision", "features"}
    assert added <= {*protocol.model_dump(), *task.model_dump()}
    assert not added & {*protocol.model_dump(exclude_none=True), *task.model_dump(exclude_none=True)}


def test_each_label_of_a_reproduction_has_its_own_recipe_network_and_base(tmp_path):
    trials = {t.label: t for t in load(tmp_path, REPRODUCTION).trials()}
    assert (trials["dense"].protocol.epochs, trials["slim"].protocol.epochs) == (4, 8)
    assert (trials["dense"].task.norm, trials["slim"].task.norm) == ("none", "batch")
    assert trials["slim"].stages == (4, 4)
    assert trials["cut"].base_trial.protocol == trials["cut"].protocol != trials["dense"].protocol
    assert trials["cut"].base_trial.task == trials["cut"].task
    assert trials["cut"].base == trials["dense"].setting


def test_features_and_the_other_options_of_a_recipe_are_other_trials(tmp_path):
    (dense, *_) = load(tmp_path, REPRODUCTION).trials()
    changes = [
        {"task": dense.task.model_copy(update={"features": "single"})},
        *(
            {"protocol": dense.protocol.model_copy(update={name: value})}
            for name, value in {
                "schedule": "cosine",
                "warm_up": 2,
                "fine_tune_decay": 0.1,
                "watch_test": None,
                "channels_last": True,
                "precision": "bfloat16",
            }.items()
        ),
    ]
    assert len({dense.key, *(dense.model_copy(update=change).key for change in changes)}) == 1 + len(changes)
    assert dense.model_copy(update=changes[0]).task.name == dense.task.name + "-single-features"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (REPRODUCTION.replace('kind = "reproduction"\n', ""), "changes task or protocol, which all methods share; see"),
        (
            TINY + "[published.dense]\nerror = 1.0\nweights = 1.0\nsource = 's'\nverified = 'read'\n",
            "published numbers",
        ),
        (TINY.replace("epochs = 4", "epochs = 4\nwatch_test = true"), "watch_test looks at the test set"),
        (TINY.replace("seeds", 'kind = "guess"\nseeds', 1), "kind: Input should be 'comparison' or 'reproduction'"),
        (REPRODUCTION.replace("[published.slim]", "[published.slimm]"), "unknown label 'slimm'; did you mean 'slim'?"),
        (REPRODUCTION.replace('control = "dense"', 'control = "dens"'), "[published.slim]: unknown label 'dens'"),
        (REPRODUCTION.replace('"read"', '"surely"'), "verified: Input should be 'read', 'quoted' or 'unverified'"),
        (REPRODUCTION.replace("error = 10.0", "error = 110.0"), "error: Input should be less than 100"),
        (REPRODUCTION.replace("error = 10.0", "errors = 10.0"), "unknown key 'errors'; did you mean 'error'?"),
        (REPRODUCTION.replace("epochs = 8", "epoch = 8"), "unknown key 'epoch'; did you mean 'epochs'?"),
        (REPRODUCTION.replace('norm = "batch"', 'nrom = "batch"'), "unknown key 'nrom'; did you mean 'norm'?"),
        (REPRODUCTION.replace("task = { norm", "task = 3 # { norm"), "task and protocol are tables"),
        (REPRODUCTION.replace("seeds", 'sampler = "random"\nsamples = 2\nseeds', 1), "a reproduction has one task"),
        (REPRODUCTION.replace('"mlp"', '"mlp"\nfeatures = "double"'), "Input should be 'single', not 'double'"),
        (
            REPRODUCTION.replace('"mlp"', '"vgg11"\nfeatures = "single"'),
            "single features are for mlp, lenet300, lenet5",
        ),
    ],
)
def test_what_a_study_may_not_say_gets_one_line(tmp_path, text, words):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text).trials()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_comparison_may_use_the_schedules_and_the_decay_of_fine_tuning(tmp_path):
    text = TINY.replace("epochs = 4", 'epochs = 4\nschedule = "cosine"\nwarm_up = 1\nfine_tune_decay = 1e-4')
    keys = {t.key for t in load(tmp_path, text).trials()}
    assert len(keys) == 10
    assert not keys & {t.key for t in load(tmp_path, TINY).trials()}

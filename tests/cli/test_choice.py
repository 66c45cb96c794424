"""`export --accuracy` takes the smallest network that validates so well, in the mean over its seeds too."""

import pytest

from benchmark.cli.choice import choose
from benchmark.errors import UsageError
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from tests.support.made_records import failure, result


@pytest.fixture
def study(tiny):
    return load_study(str(tiny))


@pytest.fixture
def store(tmp_path, study):
    """The stronger its knob, the fewer parameters; the strongest is lucky with one seed."""
    found = Store(tmp_path)
    for trial in study.trials():
        ratio = trial.setting.hyperparameters.get("ratio", 0.0)
        accuracy = {0.25: 0.9, 0.75: 0.95 if trial.seed else 0.6}.get(ratio, 0.97)
        sizes = {"params": round(100 * (1 - ratio)), "params_dense": 100, "param_sparsity": ratio}
        found.append(result(trial, val_accuracy=accuracy, stage_accuracy={"trained": accuracy}, **sizes))
    return found


@pytest.mark.parametrize(("accuracy", "ratio"), [(0.5, 0.75), (0.7, 0.75), (0.8, 0.25), (0.9, 0.25), (0.96, None)])
def test_the_smallest_that_is_good_enough_is_chosen(study, store, accuracy, ratio):
    assert choose(study, store, accuracy).setting.hyperparameters.get("ratio") == ratio


def test_where_none_is_good_enough_the_best_is_named(study, store):
    with pytest.raises(UsageError, match=r"^no network validates at 0\.98 over seeds; the best at 0\.9700$"):
        choose(study, store, 0.98)


def test_a_study_without_results_or_of_several_tasks_is_one_line(study, tiny, tmp_path):
    empty = Store(tmp_path / "empty")
    empty.path.parent.mkdir()
    empty.append(failure(study.trials()[0]))
    with pytest.raises(UsageError, match="has no results in "):
        choose(study, empty, 0.5)
    text = tiny.read_text()
    tiny.write_text(text.replace("[methods.dense]", '[[tasks]]\ndataset = "digits"\nnetwork = "mlp"\n[methods.dense]'))
    with pytest.raises(UsageError, match="has 2 tasks: give the key of a record"):
        choose(load_study(str(tiny)), empty, 0.5)


def test_a_label_of_a_record_is_no_path(deadweight, study, tmp_path, monkeypatch):
    records = Store(tmp_path / "results" / "tiny")
    records.path.parent.mkdir(parents=True)
    record = result(study.trials()[0], label="../../a b", params=3)
    records.append(record)
    targets = []
    monkeypatch.setattr("benchmark.networks.export.check_target", lambda target, form: targets.append(target) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deadweight("export", tmp_path / "tiny.toml", record.key)
    assert [str(target) for target in targets] == [f"a-b-{record.short_key}"]


def test_a_key_and_an_accuracy_are_one_too_many_and_neither_is_too_few(deadweight, tiny):
    for arguments in ((), ("ab", "--accuracy", "0.5")):
        code, _, err = deadweight("export", tiny, *arguments)
        assert (code, "give the key of a record, or --accuracy" in err) == (2, True), err

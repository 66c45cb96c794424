"""A study of an own network, own arrays and an own checkpoint: what its trials start from, and the whole way home."""

import json
import multiprocessing
import os

import numpy as np
import pytest
import torch

from benchmark import own_files
from benchmark.data.load import decode, load
from benchmark.errors import UsageError
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.networks.export import load as load_export
from benchmark.networks.measure import accuracy
from benchmark.runner.in_process import Resources
from benchmark.runner.trial import check_task, examples, run, train_base
from tests.runner.test_on_ray import finish
from tests.support.own_study import NETS, STUDY, built, signals, trained, write_own

CONTROLS = ("scratch", "checkpoint")
MARK = "\nimport pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.fixture(autouse=True)
def _anew():
    decode.cache_clear()
    load.cache_clear()


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_own(tmp_path)


def trials(path, methods=None):
    if methods is not None:
        path.write_text(STUDY.partition("[methods.checkpoint]")[0] + methods)
    return load_study(str(path)).trials()


def test_every_kind_of_method_starts_from_the_checkpoint_and_has_the_same_epochs(own):
    text = "".join(
        f"[methods.{name}]\n"
        for name in (
            "dense",
            "implicit",
            "magnitude_filter",
            "growing_reg",
            "network_slimming",
            "scratch",
            "checkpoint",
        )
    )
    found = {trial.label: trial for trial in trials(own, text)}
    assert {label: (t.stages, len(t.fine_tuning)) for label, t in found.items()} == {
        "dense": ((0, 4), 0),
        "implicit": ((0, 4), 0),
        "magnitude_filter": ((0, 0), 4),  # the checkpoint is its base, so all epochs are left to fine-tune
        "growing_reg": ((0, 3), 1),
        "network_slimming": ((3, 3), 1),  # its base is its own training, from the checkpoint on
        "scratch": ((0, 4), 0),
        "checkpoint": ((0, 0), 0),
    }
    assert {label for label, t in found.items() if t.base is not None} == {"network_slimming"}
    assert {label for label, t in found.items() if not t.starts_from_checkpoint} == {"scratch"}
    data = examples(found["dense"])
    start = accuracy(trained(), data.pixels(data.validation.images), data.validation.labels)
    for label, trial in found.items():
        record = run(trial, train_base(trial) if trial.base else None)
        assert record.status in ("ok", "collapsed"), record.error
        assert record.stage_accuracy.get("checkpoint") == (None if label == "scratch" else start)
        assert len(record.history["loss"]) + trial.stages[0] == (0 if label == "checkpoint" else 4)


def test_the_checkpoint_as_it_came_is_what_the_control_measures(own):
    (record,) = (run(trial, None) for trial in trials(own, "[methods.checkpoint]\n"))
    x, y = map(torch.from_numpy, signals(90, seed=1))
    assert record.test_accuracy == accuracy(trained(), x, y)
    assert record.param_sparsity == 0
    assert record.stage_accuracy["checkpoint"] == record.stage_accuracy["trained"] == record.val_accuracy


def test_without_fine_tuning_a_checkpoint_is_pruned_in_one_shot(own):
    methods = "[methods.magnitude_filter]\nratio = 0.5\nfine_tune = false\n[methods.taylor]\nratio = 0.5\n"
    one_shot, tuned = trials(own, methods)
    assert (one_shot.stages, list(one_shot.fine_tuning), len(tuned.fine_tuning)) == ((0, 0), [], 4)
    record = run(one_shot, None)
    assert (record.status, record.history["loss"], record.channel_sparsity) == ("ok", [], 0.5)
    own.write_text(own.read_text().replace("epochs = 4", "epochs = 4\nfine_tune_share = 0.0"))
    assert list(load_study(str(own)).trials()[1].fine_tuning) == []


def save(folder, change):
    state = built().state_dict()
    torch.save(change(state), folder / "trained.pt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: {f"module.{name}": x for name, x in state.items()}, "every name begins with 'module.'"),
        (lambda state: {name: x for name, x in state.items() if name != "0.weight"}, "0.weight is missing"),
        (lambda state: {**state, "0.weight": state["0.weight"][:3]}, "0.weight has shape (3, 1, 3), not (6, 1, 3)"),
        (lambda state: {**state, "9.bias": state["9.bias"] * torch.inf}, "9.bias is not finite"),
        (lambda state: built(), "torch.save(network.state_dict(), FILE) makes one"),
        (lambda state: [1, 2], "holds a list, not a state dict"),
    ],
)
@pytest.mark.parametrize("methods", ["[methods.dense]\n", "[methods.scratch]\nratio = 0.5\n"])
def test_a_checkpoint_that_does_not_fit_stops_the_run_before_it_begins(own, deadweight, change, words, methods):
    """Even where the one trial that is looked at starts anew."""
    save(own.parent, change)
    trials(own, methods)
    code, _, err = deadweight("run", own, "--in-process")
    assert (code, err.count("\n"), words in err) == (2, 1, True), err
    assert not (own.parent / "results" / "own" / "records.jsonl").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("nn.Linear(second, classes)", "nn.Linear(second, classes + 1)", "its outputs are (24, 4), not 24 samples × 3"),
        ("shape[0], first, 3", "shape[0] + 1, first, 3", "task npz-signals-my_nets-build-from-trained: "),
        (
            "    first, second",
            "    raise KeyError(shape)\n    first, second",
            "my_nets.py:build fails: KeyError: (1, 16)",
        ),
        ("def build(shape", "def build(depth, shape", "my_nets.py:build asks for 'depth'"),
        ("def build(", "def make(", "has no attribute 'build'"),
    ],
)
def test_a_network_that_does_not_fit_stops_the_run_before_it_begins(own, deadweight, old, new, words):
    (own.parent / "my_nets.py").write_text(NETS.replace(old, new))
    own.write_text(STUDY.replace('checkpoint = "trained.pt"\n', "").replace("[methods.checkpoint]\n", ""))
    words = words.replace("-from-trained", "")
    code, _, err = deadweight("run", own, "--in-process")
    assert (code, err.count("\n"), words in err) == (2, 1, True), err


def test_augmentation_of_what_is_no_image_is_one_line(own, deadweight):
    own.write_text(STUDY.replace("checkpoint =", 'augment = "flip"\ncheckpoint ='))
    code, _, err = deadweight("run", own, "--in-process")
    assert (code, "moves images, and the samples have the shape (1, 16)" in err) == (2, True), err


def test_a_source_that_changes_while_it_runs_is_a_failed_trial_and_says_so(own):
    first, *_ = load_study(str(own)).trials()
    check_task(first)
    (own.parent / "my_nets.py").write_text(NETS + "# changed\n")
    record = run(first, None)
    assert record.status == "failed"
    assert "my_nets.py is not the file that it was" in record.error


def test_other_arrays_are_refused_where_records_are_of_the_first(own, deadweight):
    trials(own, "[methods.dense]\n")
    assert deadweight("run", own, "--in-process")[0] == 0
    own.write_text(own.read_text().replace("[0]", "[0, 1]"))
    x, y = signals(seed=7)
    np.savez(own.parent / "signals.npz", x_train=x, y_train=y)
    load.cache_clear()
    decode.cache_clear()
    code, _, err = deadweight("run", own, "--in-process")
    assert (code, "was made when npz:signals.npz held other images or labels" in err) == (2, True), err


def test_an_own_network_in_two_shapes_of_samples_needs_no_checkpoint(own):
    """Vectors for the suite's mlp, from a function."""
    text = "import numpy as np\ndef load():\n    y = np.arange(60) % 2\n"
    text += "    return {'x_train': (y[:, None] + np.zeros((60, 5))).astype('float32'), 'y_train': y}\n"
    (own.parent / "my_data.py").write_text(text)
    own.write_text(
        'title = "v"\nseeds = [0]\nprotocol = {epochs = 3}\n'
        'tasks = [{dataset = "my_data.py:load", network = "mlp", widths = [8]}]\n[methods.dense]\n'
    )
    (trial,) = load_study(str(own)).trials()
    record = run(trial, None)
    assert (record.status, record.task.name) == ("ok", "my_data-load-mlp-8")
    assert record.provenance["data"] == own_files.get("my_data.py:load").content


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The study, run through Ray from another folder than its own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "study").mkdir()
    (folder / "work").mkdir()
    path = write_own(folder / "study")
    code, output = finish("run", path, cwd=folder / "work")
    assert code == 0, output
    return path, folder / "work", output


@pytest.mark.xdist_group("own")
@pytest.mark.usefixtures("sketched")
def test_a_trained_network_comes_home_through_ray_smaller(home, deadweight, monkeypatch, tmp_path):
    """Run, published, verified, exported: from a checkpoint to a network whose accuracy its record has."""
    path, work, output = home
    assert "the checkpoint's validation accuracy is 0." in output or "is 1.0" in output
    monkeypatch.chdir(work)
    records = Store(work / "results" / "own").load()
    assert {r.status for r in records} == {"ok"}
    again = {t.key: run(t, None) for t in load_study(str(path)).trials()}
    assert {r.key: r.test_accuracy for r in records} == {key: r.test_accuracy for key, r in again.items()}
    code, out, err = deadweight("publish", path, "--results", work / "results", "--out", tmp_path / "site")
    assert code == 0, err
    assert deadweight("verify", tmp_path / "site")[0] == 0
    code, out, err = deadweight(
        "export", path, "--accuracy", "0.5", "--out", tmp_path / "small", "--results", work / "results"
    )
    assert code == 0, err
    assert "chosen of 5 by validation: " in out
    chosen = min((r for r in records if r.val_accuracy >= 0.5), key=lambda r: r.params)
    assert f"record {chosen.short_key}: " in out
    x, y = map(torch.from_numpy, signals(90, seed=1))
    loaded = load_export(tmp_path / "small", built())
    assert accuracy(loaded, x, y) == chosen.test_accuracy
    assert sum(p.numel() for p in loaded.parameters()) == chosen.params < chosen.params_dense
    assert json.loads((tmp_path / "small" / "widths.json").read_text())["network"] is None  # a name in it runs nothing


@pytest.mark.xdist_group("own")
@pytest.mark.usefixtures("sketched")
def test_commands_that_read_records_run_no_code_and_need_no_file(home, deadweight, tmp_path):
    path, work, _ = home
    results = work / "results"
    (tmp_path / "my_nets.py").write_text(MARK + NETS)
    (tmp_path / "trained.pt").write_bytes((path.parent / "trained.pt").read_bytes())
    (tmp_path / "own.toml").write_text(STUDY)
    marked = load_study(str(tmp_path / "own.toml"))
    store = Store(tmp_path / "results" / "own")
    store.path.parent.mkdir(parents=True)
    task = marked.tasks[0]
    for record in Store(results / "own").load():
        changed = record.model_copy(update={"task": task})
        store.append(changed.model_copy(update={"key": changed.trial.key}))
    for arguments in (
        ("status", "own.toml"),
        ("run", "own.toml", "--in-process"),
        ("plot", "own.toml"),
        ("publish", "own.toml", "--out", "site"),
        ("verify", "site"),
        ("compare", "results/own", "results/own"),
    ):
        code, out, err = deadweight(*arguments)
        assert code == 0, out + err
        assert not (tmp_path / "ran").exists()
    code, _, err = deadweight("merge", "results/own", results / "own", "--out", "all/own")
    assert (code, "was made with another my_nets.py:build than results/own" in err) == (2, True), err
    (tmp_path / "my_nets.py").unlink()
    (tmp_path / "trained.pt").unlink()
    for arguments in (("status", "own.toml"), ("verify", "site")):
        code, out, err = deadweight(*arguments)
        assert code == 0, out + err
    code, _, err = deadweight("export", "own.toml", store.load()[0].key)
    assert (code, "cannot read" in err) == (2, True), err


def test_a_network_whose_initial_weights_are_not_the_seeds_stops_the_run(own):
    drawn = NETS.replace("    return nn.Sequential(", "    net = nn.Sequential(") + (
        "    net[0].weight.data.mul_(np.random.rand())\n    return net\n"
    )
    (own.parent / "my_nets.py").write_text("import numpy as np\n" + drawn)
    with pytest.raises(UsageError, match=r"my_nets.*: its initial weights differ each time it is built"):
        check_task(trials(own)[0])


def _in_a_worker(trial, resources):
    """What a process of its own, in no folder of the study's, makes of a trial."""
    os.chdir("/")
    resources.take()
    return run(trial, None)


def test_a_worker_finds_the_files_from_any_folder_and_notices_that_one_was_changed(own):
    dense, *_ = [trial for trial in load_study(str(own)).trials() if trial.label == "dense"]
    resources = Resources(data_root=own.parent / "root")
    here = run(dense, None)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_in_a_worker, (dense, resources)).test_accuracy == here.test_accuracy
        (own.parent / "my_nets.py").write_text(NETS + "# changed\n")
        changed = pool.apply(_in_a_worker, (dense, resources))
        (own.parent / "my_nets.py").write_text(NETS)
        (own.parent / "trained.pt").write_bytes(b"another")
        swapped = pool.apply(_in_a_worker, (dense, resources))
    assert (changed.status, swapped.status) == ("failed", "failed")
    assert "my_nets.py is not the file that it was" in changed.error
    assert "trained.pt is not the file that it was" in swapped.error

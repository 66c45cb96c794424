"""`run --keep`: what stays is the fronts' networks, export takes them at once, and does without where they are not."""

import json
import shutil

import pytest
import torch

import deadweight as suite
from benchmark.analysis.fronts import Fronts
from benchmark.cli import home
from benchmark.cli.keeping import Keeping
from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.networks.export import load
from benchmark.networks.measure import accuracy, parameters
from benchmark.runner import in_process as in_process_module
from benchmark.runner.in_process import Destination, Resources
from benchmark.runner.run import run_points
from benchmark.runner.trial import examples
from tests.conftest import TINY
from tests.support.made_records import result
from tests.support.own_study import trained, write_own

ONE = TINY.replace("[0, 1]", "[0]")


def kept(folder, name="tiny"):
    return {path.stem for path in (folder / "results" / name / "kept").iterdir()}


@pytest.fixture
def ran(deadweight, tiny, tmp_path):
    """A study that was run with --keep: its records, by key."""
    tiny.write_text(ONE)
    code, out, err = deadweight("run", tiny, "--in-process", "--keep")
    assert code == 0, err
    records = Store(tmp_path / "results" / "tiny").load()
    assert f"kept {len(Fronts(records).keys)} networks of the fronts, " in out
    assert "have none" not in out
    return {record.key: record for record in records}


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(home, "_train_again", lambda record: pytest.fail("it trains"))


def test_the_networks_of_the_fronts_are_kept_and_no_others(ran, tmp_path):
    assert kept(tmp_path) == Fronts(ran.values()).keys
    assert not [*tmp_path.rglob("*.partial")]


@pytest.mark.usefixtures("no_training")
def test_export_takes_a_kept_one_without_training(ran, deadweight, tiny, tmp_path):
    for key in kept(tmp_path):
        code, out, err = deadweight("export", tiny, key, "--out", f"net-{key[:8]}")
        assert (code, "as it was kept" in out, "as in the record" in out) == (0, True, True), err
        network, data = load(tmp_path / f"net-{key[:8]}"), examples(ran[key].trial)
        assert accuracy(network, data.pixels(data.test.images), data.test.labels) == ran[key].test_accuracy
        assert parameters(network) == parameters(suite.load(tmp_path / "results/tiny/kept" / f"{key}.safetensors"))


def test_export_trains_again_where_the_kept_one_was_changed_and_says_so_in_a_line(ran, deadweight, tiny, tmp_path):
    key = min(kept(tmp_path))
    path = tmp_path / "results/tiny/kept" / f"{key}.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    code, out, _ = deadweight("export", tiny, key)
    lines = [line for line in out.splitlines() if "is not used" in line]
    assert (code, "trained again" in out) == (0, True)
    assert lines == [f"the kept network results/tiny/kept/{path.name} is not used: it was changed"]


def test_a_run_that_goes_on_drops_what_its_records_dominate(deadweight, tiny, tmp_path):
    tiny.write_text(ONE.replace("[0.001, 0.1]", "[0.001]"))
    deadweight("run", tiny, "--in-process", "--keep")
    before = kept(tmp_path)
    tiny.write_text(ONE)
    deadweight("run", tiny, "--in-process")
    code, out, _ = deadweight("run", tiny, "--in-process", "--keep")
    without = Fronts(Store(tmp_path / "results/tiny").load()).keys - before
    assert (code, kept(tmp_path)) == (0, before)  # what has a record is not run again
    assert bool(without) == (f"{len(without)} records on fronts have none: export trains those again" in out)


def test_a_merge_leaves_kept_networks_and_says_how_they_are_found(deadweight, tiny, tmp_path):
    tiny.write_text(ONE)
    for where, more in (("a", ["--keep"]), ("b", [])):
        assert deadweight("run", tiny, "--in-process", "--results", where, *more)[0] == 0
    networks = sorted((tmp_path / "a/tiny/kept").iterdir())
    code, out, _ = deadweight("merge", "a/tiny", "b/tiny", "--out", "all/tiny")
    words = f"the {len(networks)} kept networks in a/tiny/kept stay there: copy them to all/tiny/kept, and export takes"
    assert (code, words in out, "b/tiny/kept" in out) == (0, True, False)
    assert not (tmp_path / "all/tiny/kept").exists()
    shutil.copytree(tmp_path / "a/tiny/kept", tmp_path / "all/tiny/kept")
    code, out, _ = deadweight("export", tiny, networks[0].stem, "--results", "all")
    assert (code, "as it was kept" in out) == (0, True)


def test_a_run_without_keep_keeps_nothing(deadweight, tiny, tmp_path):
    deadweight("run", tiny, "--in-process")
    assert not (tmp_path / "results/tiny/kept").exists()


def test_candidates_of_tuning_are_not_kept(deadweight, tiny, tmp_path):
    tuning = "[tuning]\nseed = 9\n[tuning.candidates]\n"
    tuning += "".join(f"{label} = [{{}}]\n" for label in ("dense", "implicit", "magnitude_filter"))
    tiny.write_text(ONE + tuning)
    code, _, err = deadweight("run", tiny, "--in-process", "--keep")
    assert code == 0, err
    seeds = {record.key: record.seed for record in Store(tmp_path / "results/tiny").load()}
    assert {seeds[key] for key in kept(tmp_path)} == {0}


def test_a_network_of_ones_own_is_kept_and_needs_its_code_to_come_home(deadweight, tmp_path, no_training):
    path = write_own(tmp_path)
    code, out, err = deadweight("run", path, "--in-process", "--keep")
    assert (code, "is not kept" in out) == (0, False), err
    key = min(kept(tmp_path, "own"))
    code, out, err = deadweight("export", path, key, "--out", "net")
    assert (code, "as it was kept" in out) == (0, True), err
    file = tmp_path / "results/own/kept" / f"{key}.safetensors"
    images = torch.randn(4, 1, 16)
    assert torch.equal(suite.load(file, trained())(images), load(tmp_path / "net", trained())(images))


def test_single_features_are_kept_too(deadweight, tiny, tmp_path, no_training):
    tiny.write_text(ONE.replace("widths = [8]", 'widths = [8]\nfeatures = "single"'))
    assert deadweight("run", tiny, "--in-process", "--keep")[0] == 0
    for key in kept(tmp_path):
        assert deadweight("export", tiny, key, "--out", f"net-{key[:8]}")[0] == 0


def test_a_stop_between_network_and_record_leaves_what_a_rerun_replaces(deadweight, tiny, tmp_path, monkeypatch):
    tiny.write_text(ONE)
    append, stops = Store.append, []

    def stopped(store, record):
        if not stops:
            stops.append(record.key)
            raise KeyboardInterrupt
        append(store, record)

    monkeypatch.setattr(Store, "append", stopped)
    assert deadweight("run", tiny, "--in-process", "--keep")[0] == 130
    assert kept(tmp_path) == set(stops)
    assert deadweight("run", tiny, "--in-process", "--keep")[0] == 0
    records = Store(tmp_path / "results/tiny").load()
    assert kept(tmp_path) == Fronts(records).keys
    monkeypatch.setattr(home, "_train_again", lambda record: pytest.fail("it trains"))
    assert deadweight("export", tiny, stops[0])[0] == 0 or stops[0] not in Fronts(records).keys


def test_records_are_the_same_with_and_without_keep(ran, deadweight, tiny, tmp_path):
    assert deadweight("run", tiny, "--in-process", "--results", "plain")[0] == 0

    def results(folder):
        lines = (tmp_path / folder / "tiny/records.jsonl").read_text().splitlines()
        times = ("train_seconds", "base_seconds", "peak_memory", "created")
        return [{k: v for k, v in json.loads(line).items() if k not in times} for line in lines]

    assert results("results") == results("plain")


def test_networks_come_from_rays_workers_too(tiny, tmp_path):
    tiny.write_text(ONE)
    study, store, came = load_study(str(tiny)), Store(tmp_path), {}

    def on_record(record):
        assert record.key in came  # the network is there before its record

    destination = Destination(store, on_record, on_network=lambda record, packed: came.update({record.key: packed}))
    run_points(study, study.trials(), Resources(keep=True), destination, in_process=False)
    assert came.keys() == {trial.key for trial in study.trials()}
    assert all(isinstance(packed, bytes) for packed in came.values())


def test_own_records_are_what_fronts_are_of(ran, deadweight, tiny, tmp_path):
    """Records of trials that the study no longer has keep nobody off a front, and theirs stay."""
    before = kept(tmp_path)
    tiny.write_text(ONE.replace("[0.25, 0.75]", "[0.5]"))
    assert deadweight("run", tiny, "--in-process", "--keep")[0] == 0
    own = own_records(load_study(str(tiny)), Store(tmp_path / "results/tiny").load())
    assert kept(tmp_path) == before | Fronts(own).keys


def test_what_cannot_be_packed_is_a_line_and_no_failure(deadweight, tiny, tmp_path, monkeypatch):
    tiny.write_text(ONE)
    monkeypatch.setattr(in_process_module, "pack_network", lambda record, module: "it is too odd")
    code, out, _ = deadweight("run", tiny, "--in-process", "--keep")
    assert (code, "is not kept: it is too odd" in out) == (0, True)
    assert "kept 0 networks of the fronts, 0.0 MB" in out


def test_what_a_killed_run_and_one_without_keep_left_goes_when_the_next_begins(tiny, tmp_path):
    study, store = load_study(str(tiny)), Store(tmp_path)
    weak, strong = (t for t in study.trials() if t.label == "implicit" and t.seed == 0)
    Keeping(study, store, pytest.fail).take(result(weak, param_sparsity=0.5), b"weak")
    for record in (result(weak, param_sparsity=0.5), result(strong, param_sparsity=0.6)):
        store.append(record)
    (tmp_path / "kept" / f"{strong.key}.safetensors.partial").write_bytes(b"str")
    Keeping(study, store, pytest.fail)
    assert [*(tmp_path / "kept").iterdir()] == []


def test_one_that_is_dominated_goes_when_the_better_one_comes(tiny, tmp_path):
    study, store = load_study(str(tiny)), Store(tmp_path)
    weak, strong = (t for t in study.trials() if t.label == "implicit" and t.seed == 0)
    keeping = Keeping(study, store, pytest.fail)
    keeping.take(result(weak, param_sparsity=0.5), b"weak")
    assert keeping.kept.sizes == {weak.key: 4}
    keeping.take(result(strong, param_sparsity=0.6), b"strong")
    assert keeping.kept.sizes == {strong.key: 6}
    keeping.take(result(weak, param_sparsity=0.4), b"weak")
    assert keeping.kept.sizes == {strong.key: 6}

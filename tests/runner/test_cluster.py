"""A Ray cluster of several machines, as a user has it: none holds the code, each its own folder and its own data."""

import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmark.analysis.fronts import Fronts
from benchmark.experiment.store import Store
from tests.conftest import TINY
from tests.runner.test_on_ray import COMMAND, finish, results, start, wait_for_records
from tests.support.ray_cluster import ROOT, RayCluster

HEAD = TINY.partition("[methods.dense]")[0]
OWN = TINY.replace('network = "mlp"\nwidths = [8]', 'network = "nets.py:build"')
LINGERING = OWN.replace("[methods.dense]", "[methods.lingers]\n[methods.dense]")
NETS = """
from torch import nn

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))
"""
PICTURES = HEAD.replace('"simulated"', '"imagefolder:pictures"') + "[methods.dense]\n"
HURRIED = (
    "import sys; from benchmark.cli import main; from benchmark.runner import cluster\n"
    "cluster.SILENCE = cluster.JOINED = 3; sys.argv[0] = 'deadweight'; main.main()"
)  # the command, less patient with a cluster

pytestmark = pytest.mark.xdist_group("cluster")


def pictures(root, shade):
    """A dataset of two classes of gray images, of this shade."""
    for name, light in (("one", 0), ("two", 100)):
        folder = root / "pictures" / name
        folder.mkdir(parents=True)
        for i in range(30):
            Image.fromarray(np.full((4, 4), light + shade + i, dtype=np.uint8)).save(folder / f"{i}.png")
    return str(root)


def hurried(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-c", HURRIED, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two machines of one core each; on the second the method Lingers never ends, on the first once it is there."""
    found = RayCluster(tmp_path_factory.mktemp("cluster"))
    there = str(found.folder / "there")
    own = {"DEADWEIGHT_DATA": pictures(found.folder / "data", shade=0), "LD_PRELOAD": "libtheirs.so"}
    own |= {"KEEP_STATES": "1", "STEPS": str(found.folder / "steps")}  # of what lingers, a byte each
    try:
        found.start("head", AWAIT=there, **own)
        found.start("other", LINGER=there, **own)
        yield found
    finally:
        found.end()


@pytest.fixture(scope="module")
def stranger(cluster, tmp_path_factory):
    """A run with another token, begun early: it takes Ray twenty seconds to give up."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "tiny.toml").write_text(TINY)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    command = [COMMAND, "run", "tiny.toml", "--address", cluster.address]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def driver(cluster, monkeypatch, tmp_path):
    """Starts a command on the cluster, in a folder of its own."""
    for name, value in cluster.token.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DEADWEIGHT_DATA", pictures(tmp_path / "data", shade=0))

    def run(*arguments, how=finish):
        return how("run", "tiny.toml", "--address", cluster.address, *arguments, cwd=tmp_path)

    return run


def start_with_other_code(cluster, name):
    """Starts a machine of two cores that has a file of the suite other than here."""
    theirs = cluster.folder / f"theirs_{name}"
    shutil.copytree(ROOT / "baselines", theirs / "baselines")
    (theirs / "baselines" / "dense.py").open("a").write("\n")
    cluster.start(name, 2, f"sys.path.insert(0, {str(theirs)!r})", DEADWEIGHT_DATA=str(cluster.folder / "data"))


@pytest.mark.usefixtures("faulty_methods", "stranger")
def test_a_killed_machine_costs_nothing(cluster, driver, deadweight, tmp_path):
    """The trial that stays there goes on on the first, not on one whose code is other than the driver's."""
    (tmp_path / "tiny.toml").write_text(LINGERING)
    (tmp_path / "nets.py").write_text(NETS)
    path = tmp_path / "results" / "tiny" / "records.jsonl"
    process = driver("--keep", how=start)
    wait_for_records(path, 11, process)
    start_with_other_code(cluster, "late")
    said = next(line for line in process.stdout if "is left out" in line)  # of a machine that comes late
    assert said.endswith("is left out: the code of baselines differs\n")
    assert len(list(path.parent.glob("states/*.npz"))) == 1  # from there it has come to the driver
    (tmp_path / "nets.py").unlink()  # other machines have no such file: it has travelled
    cluster.kill("other")
    cluster.kill("late")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "12 of 12 have a record (12 ok)" in output
    assert (cluster.folder / "steps").stat().st_size == 2 * 4 * 4  # seeds, epochs, batches: none was made twice
    assert list(path.parent.glob("states/*")) == []
    found = results(path.parent)
    kept = {file.stem for file in (path.parent / "kept").iterdir()}
    assert kept == Fronts(Store(path.parent).load()).keys  # the networks have come from every machine
    assert sum(record.pop("losses", 0) for record in found.values()) == 1
    preloaded = {tuple(record.provenance["preloaded"]) for record in Store(path.parent).load()}
    assert preloaded == {("libtheirs.so",)}  # not this process's own
    (tmp_path / "nets.py").write_text(NETS)
    assert deadweight("run", "tiny.toml", "--in-process", "--results", "alone")[0] == 0
    assert found == results(tmp_path / "alone" / "tiny")


def test_without_a_machine_that_is_fit_nothing_runs(cluster, driver, tmp_path):
    """One has another version of the code, one other data; the head has too few cores."""
    (tmp_path / "tiny.toml").write_text(PICTURES)
    start_with_other_code(cluster, "code")
    cluster.start("data", 2, DEADWEIGHT_DATA=pictures(cluster.folder / "other", shade=1))
    code, output = driver("--cpus-per-trial", "2")
    assert code == 2
    assert output.count("is left out: the code of baselines differs\n") == 1, cluster.logs()
    assert output.count("is left out: the data of imagefolder:pictures differs\n") == 1
    assert "no machine of the cluster can run the trials" in output.splitlines()[-1]
    assert not (tmp_path / "results" / "tiny" / "records.jsonl").exists()


def test_a_wrong_token_is_one_line(stranger):
    _, errors = stranger.communicate(timeout=300)
    assert stranger.returncode == 2
    assert errors.count("\n") == 1
    assert "does not take this token; set RAY_AUTH_MODE=token" in errors


def test_what_a_cluster_does_not_have_is_one_line(driver, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    code, output = driver("--cpus-per-trial", "64", "--wait", "0.02")
    assert code == 2
    assert "a trial asks for 64 CPU cores and 0 GPUs, and no machine has more than " in output.splitlines()[-1]
    assert "give the cluster longer with --wait" in output.splitlines()[-1]


@pytest.mark.usefixtures("faulty_methods")
def test_a_head_that_dies_ends_the_run_with_one_line(cluster, driver, tmp_path):
    """The last test of this cluster."""
    (tmp_path / "tiny.toml").write_text(TINY.replace("[0, 1]", str([*range(100)])))
    path = tmp_path / "results" / "tiny" / "records.jsonl"
    process = driver(how=hurried)
    wait_for_records(path, 2, process)
    cluster.kill("head")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.strip().count("\n") == 0
    assert errors.strip().startswith("deadweight: the head of the Ray cluster, ")
    assert "what is done is kept: run the same command to go on" in errors
    assert len(results(path.parent)) >= 2


def test_something_else_at_the_address_is_one_line(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        process = hurried("run", "tiny.toml", "--address", address, cwd=tmp_path)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.strip() == f"deadweight: no Ray cluster answers at {address!r} within 3 s"


def test_an_address_of_another_kind_is_one_line(deadweight, tiny):
    code, _, errors = deadweight("run", tiny, "--address", "ray://127.0.0.1:10001")
    assert code == 2
    assert "is no HOST:PORT; run on one of the cluster's machines" in errors

"""A Ray cluster of several machines, as a user has it: none holds the code, each its own folder and its own data."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmark.experiment.store import Store
from tests.conftest import FAULTY, TINY
from tests.runner.test_on_ray import finish, results, start, wait_for_records
from tests.support.ray_cluster import ROOT, RayCluster

HEAD = TINY.partition("[methods.dense]")[0]
LINGERING = TINY.replace("[methods.dense]", "[methods.lingers]\n[methods.dense]")
PICTURES = HEAD.replace('"simulated"', '"imagefolder:pictures"') + "[methods.dense]\n"

pytestmark = pytest.mark.xdist_group("cluster")


def pictures(root, shade):
    """A dataset of two classes of gray images, of this shade."""
    for name, light in (("one", 0), ("two", 100)):
        folder = root / "pictures" / name
        folder.mkdir(parents=True)
        for i in range(30):
            Image.fromarray(np.full((4, 4), light + shade + i, dtype=np.uint8)).save(folder / f"{i}.png")
    return str(root)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two machines of one core each; on the second the method Lingers never ends, on the first once it is there."""
    found = RayCluster(tmp_path_factory.mktemp("cluster"))
    there = str(found.folder / "there")
    own = {"DEADWEIGHT_DATA": pictures(found.folder / "data", shade=0), "LD_PRELOAD": "libtheirs.so"}
    try:
        found.start("head", AWAIT=there, **own)
        found.wait("head")
        found.start("other", LINGER=there)
        found.wait("other")
        yield found
    finally:
        found.end()


@pytest.fixture
def driver(cluster, monkeypatch, tmp_path):
    """Starts a command on the cluster, in a folder of its own."""
    for name, value in cluster.token.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DEADWEIGHT_DATA", pictures(tmp_path / "data", shade=0))

    def run(*arguments, how=finish):
        return how("run", "tiny.toml", "--address", cluster.address, *arguments, cwd=tmp_path)

    return run


@pytest.mark.usefixtures("faulty_methods")
def test_a_killed_machine_costs_nothing(cluster, driver, deadweight, tmp_path):
    """The trial that stays there runs again on the other; all records are those of one process."""
    (tmp_path / "tiny.toml").write_text(LINGERING)
    path = tmp_path / "results" / "tiny" / "records.jsonl"
    process = driver(how=start)
    wait_for_records(path, 11, process)
    cluster.kill("other")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "12 of 12 have a record (12 ok)" in output
    found = results(path.parent)
    assert sum(record.pop("losses", 0) for record in found.values()) == 1
    assert deadweight("run", "tiny.toml", "--in-process", "--results", "alone")[0] == 0
    assert found == results(tmp_path / "alone" / "tiny")


def test_a_machine_that_differs_is_left_out_with_its_reason(cluster, driver, tmp_path):
    """One has another version of the code, one other data; each has two cores, the head one."""
    (tmp_path / "tiny.toml").write_text(PICTURES)
    theirs = cluster.folder / "theirs"
    shutil.copytree(ROOT / "baselines", theirs / "baselines")
    (theirs / "baselines" / "dense.py").open("a").write("\n")
    cluster.start("code", 2, f"sys.path.insert(0, {str(theirs)!r})", DEADWEIGHT_DATA=str(tmp_path / "data"))
    cluster.start("data", 2, DEADWEIGHT_DATA=pictures(cluster.folder / "other", shade=1))
    cluster.wait("code")
    cluster.wait("data")
    code, output = driver()
    assert code == 0, output
    assert output.count("is left out: the code of baselines differs\n") == 1
    assert output.count("is left out: the data of imagefolder:pictures differs\n") == 1
    assert len(results(tmp_path / "results" / "tiny")) == 2
    shutil.rmtree(cluster.folder / "other")
    code, output = driver("--results", "none", "--cpus-per-trial", "2")
    assert code == 2
    assert f"is left out: the data of imagefolder:pictures: folder {cluster.folder}" in output
    assert "no machine of the cluster can run the trials" in output.splitlines()[-1]
    assert not results_exist(tmp_path / "none")


def results_exist(folder):
    return any(folder.glob("*/records.jsonl"))


def test_a_provenance_is_the_workers(cluster, driver, tmp_path):
    (tmp_path / "tiny.toml").write_text(HEAD + "[methods.dense]\n")
    code, output = driver()
    assert code == 0, output
    for record in Store(tmp_path / "results" / "tiny").load():
        assert record.provenance["preloaded"] == ["libtheirs.so"]

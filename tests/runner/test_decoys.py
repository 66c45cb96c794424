"""Ray's workers import what the driver imports, whatever lies in the working directory; and get what they ask for."""

import pytest

from tests.runner.test_on_ray import FEW, finish, results

DECOYS = ("methods/__init__.py", "baselines/__init__.py", "baselines/dense.py", "benchmark.py", "torch.py", "numpy.py")


def test_folders_of_the_suites_names_in_the_working_directory_do_not_reach_the_workers(tmp_path):
    (tmp_path / "tiny.toml").write_text(FEW.replace("[0, 1]", "[0]"))
    for name in DECOYS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('a decoy was imported')\n")
    code, output = finish("run", "tiny.toml", cwd=tmp_path)
    assert code == 0, output
    assert "3 of 3 have a record (3 ok)" in output
    assert "starting Ray: 0 of 3 trials done, 0 failed" in output
    assert len(results(tmp_path / "results" / "tiny")) == 3


@pytest.mark.parametrize("asked", [("--gpus-per-trial", "64"), ("--cpus-per-trial", "4096")])
def test_more_than_any_machine_has_is_one_line(tmp_path, asked):
    (tmp_path / "tiny.toml").write_text(FEW)
    code, output = finish("run", "tiny.toml", *asked, cwd=tmp_path)
    assert code == 2, output
    assert output.splitlines()[-1].startswith("deadweight: a trial asks for ")
    assert output.splitlines()[-1].endswith("lower --cpus-per-trial or --gpus-per-trial")
    assert "Traceback" not in output
    assert not (tmp_path / "results" / "tiny" / "records.jsonl").exists()

"""What a user gets who installs the suite, away from any checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")  # one build for all
ROOT = Path(__file__).parents[1]
PACKAGES = ("benchmark", "methods", "baselines")
NEEDED = (*PACKAGES, "deadweight.py", "pyproject.toml", "README.md", "LICENSE")


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: setuptools would put into it what an earlier build of the checkout has left there."""
    copy = tmp_path_factory.mktemp("copy")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", copy / "made", copy)
    return next((copy / "made").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs' folder of a fresh environment with the wheel, beside this environment's libraries.

    The libraries' folder is a line of a .pth file, so its own .pth files, and with them an editable install, are not
    heeded.
    """
    fresh = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", fresh)
    programs = fresh / "bin"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", programs / "python"]
    run(*pip, "install", "--quiet", "--no-deps", wheel)
    libraries = sysconfig.get_paths(vars={"base": str(fresh), "platbase": str(fresh)})["purelib"]
    (Path(libraries) / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.fixture
def alone(tmp_path, installed):
    """Calls a program of the fresh environment in an empty folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}

    def call(program, *arguments):
        return run(installed / program, *arguments, cwd=tmp_path, env=environment)

    return call


def test_the_wheel_holds_every_file_of_its_packages(wheel):
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    wanted = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == wanted | {"deadweight.py"}


def test_an_installed_suite_is_the_wheels_and_lists_the_studies(alone, installed):
    place = Path(alone("python", "-c", "import benchmark; print(benchmark.__file__)").strip())
    assert place.is_relative_to(installed.parent)
    studies = alone("deadweight", "list", "studies")
    assert all(path.stem in studies for path in (ROOT / "benchmark" / "studies").glob("[!_]*.toml"))


def test_an_installed_suite_runs_a_study_and_knows_no_commit(alone, tmp_path):
    assert "10 of 10 have a record (10 ok)" in alone("deadweight", "run", "smoke", "--in-process")
    records = [json.loads(line) for line in (tmp_path / "results/smoke/records.jsonl").read_text().splitlines()]
    assert {record["status"] for record in records} == {"ok"}
    assert {record["provenance"]["commit"] for record in records} == {None}


def test_a_method_made_with_an_installed_suite_is_a_package_here_and_found_once_installed(alone, installed, tmp_path):
    output = alone("deadweight", "new", "my_method")
    assert (
        "next: pip install -e ./my_method, edit my_method/src/my_method.py, then deadweight check my_method" in output
    )
    assert not list(installed.parent.rglob("my_method*"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", installed / "python"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", tmp_path / "my_method")
    file = tmp_path / "my_method" / "src" / "my_method.py"
    file.write_text(file.read_text().replace('title = "My method"', 'title = "Edited"'))
    assert json.loads(alone("deadweight", "list", "--json"))["methods"]["my_method"]["title"] == "Edited"

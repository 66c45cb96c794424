"""What the README says is run and compared."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.own_study import write_own

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
STUDY = re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1]
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, so that commands may write in it, first on the path of the installed command.

    What `make bench` leaves, which takes minutes, is the records of its seed.
    """
    copy = tmp_path_factory.mktemp("checkout") / "deadweight"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    write_own(copy, STUDY, "my_network.toml")
    lines = (copy / "results/digits/records.jsonl").read_text().splitlines(keepends=True)
    (copy / "bench/digits").mkdir(parents=True)
    (copy / "bench/digits/records.jsonl").write_text("".join(x for x in lines if json.loads(x)["seed"] in (0, 100)))
    return copy


@pytest.fixture(scope="module")
def environment(checkout):
    """An environment of its own that sees the installed libraries, for the README's pip install."""
    folder = checkout.parent / "environment"
    venv.create(folder)
    packages = next(folder.glob("lib/python*/site-packages"))
    parent = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    (packages / "parent.pth").write_text(f"import site; site.addsitedir({str(parent)!r})\n")
    for command, module in (("deadweight", "benchmark.cli.main"), ("pip", "pip._internal.cli.main")):
        script = folder / "bin" / command
        script.write_text(f"#!{folder / 'bin' / 'python'}\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        script.chmod(0o755)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(checkout)}


def sh(command, cwd, env):
    done = subprocess.run(command, shell=True, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def name_the_paper(checkout, method):
    """What the README leaves to the author: the template's reference is refused."""
    (file,) = (path for path in checkout.glob(f"**/{method}.py"))
    file.write_text(file.read_text().replace("arXiv:0000.00000", "arXiv:2401.00001"))


def test_commands_of_the_readme(checkout, environment):
    """All of them but make's, which continuous integration runs, in their order."""
    commands = [command for command in COMMANDS if not command.startswith("make ")]
    assert len(commands) >= 10
    outputs = {}
    for command in commands:
        outputs[command] = sh(command, checkout, environment)
        if command.startswith("deadweight new"):
            name_the_paper(checkout, command.split()[2])
    assert "my_method conforms" in outputs["deadweight check my_method"]
    assert "their_method conforms" in outputs["deadweight check their_method"]
    assert "610 of 610 have a record" in outputs["deadweight run digits"]
    assert "16 of 16 have a record" in outputs["deadweight run my_network.toml --keep"]
    assert "chosen of 16 by validation: " in outputs[next(line for line in COMMANDS if "--accuracy" in line)]
    assert "small.onnx, as it was kept: " in outputs[next(line for line in COMMANDS if "--accuracy" in line)]
    assert (checkout / "small.onnx").stat().st_size > 1000
    assert "61 the same in every number" in outputs["deadweight compare results/digits bench/digits"]
    study = """
        title = "t"
        seeds = [0]
        protocol = {epochs = 4}
        tasks = [{dataset = "digits", network = "mlp", widths = [8]}]
        methods = {dense = {}, their_method = {ratio = [0.25, 0.5]}, my_method = {ratio = [0.25, 0.5]}}
    """
    (checkout / "mine.toml").write_text(study)
    assert "5 of 5 have a record (5 ok)" in sh("deadweight run mine.toml", checkout, environment)


def test_make_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = [command.split()[1] for command in COMMANDS if command.startswith("make ")]
    assert targets == ["bench", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)

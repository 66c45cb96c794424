"""What a command imports: libraries that take seconds to load only where it needs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli.main import app
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from tests.support.made_records import make_records

HEAVY = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "ray",
    "optuna",
    "matplotlib",
    "seaborn",
    "plotly",
)
NO_FIGURES = tuple(name for name in HEAVY if name not in ("torch", "numpy"))
COMMAND = """
import atexit, sys
from pathlib import Path
from benchmark.cli.main import main
atexit.register(lambda: Path("imported").write_text(" ".join(sys.modules)))
main()
"""


@pytest.fixture
def imports(tmp_path):
    """Runs the command in a fresh process; gives exit code, output and which of some libraries it has imported."""

    def call(names, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        imported = (tmp_path / "imported").read_text().split()
        return done.returncode, done.stdout + done.stderr, sorted(set(names) & set(imported))

    return call


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "Usage"),
        (["--version"], 0, "deadweight "),
        (["run", "--help"], 0, "Example: deadweight run digits"),
        (["list", "studies"], 0, "conditions_mnist"),
        (["rnu"], 2, "No such command 'rnu'. Did you mean 'run'?"),
        (["run", "--dry-rn"], 2, "No such option: --dry-rn (Possible options: --dry-run)"),
        (["run", "--first", "no"], 2, "Invalid value for '--first'"),
        (["compare", "digits"], 2, "Missing argument 'B'; see `"),
        (["list", "studie"], 2, "did you mean 'studies'"),
        (["run", "digit"], 2, "did you mean 'digits'"),
        (["publish", "digit"], 2, "did you mean 'digits'"),
        (["check", "implicitt"], 2, "did you mean 'implicit'"),
        (["new", "implicit"], 2, "there is a method 'implicit' already"),
        (["data", "mnits"], 2, "did you mean 'mnist'"),
        (["export", "digits", "00"], 2, "unknown record '00'"),
        (["compare", "nowhere", "digits"], 2, "unknown results 'nowhere'"),
    ],
)
def test_help_and_usage_errors_wait_for_no_library(imports, arguments, code, words):
    found, output, imported = imports(HEAVY, *arguments)
    assert (found, words in output, imported) == (code, True, [])
    if code:
        assert output.startswith("deadweight: ")
        assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("title =", "title = [", "cannot be read"),
        ("[methods.implicit]", "[methods.implict]", "unknown method 'implict'; did you mean 'implicit'"),
        ('"simulated"', '"simulatd"', "unknown dataset 'simulatd'"),
        ('"mlp"', '"mpl"', "unknown network 'mpl'"),
        ("widths = [8]", 'activation = "rellu"', "unknown activation 'rellu'"),
        ("widths = [8]", 'norm = "layer"', "unknown norm 'layer'"),
        ("widths = [8]", 'augment = "crops"', "unknown augmentation 'crops'"),
        ("epochs = 4", "epoch = 4", "unknown key 'epoch'"),
    ],
)
def test_mistakes_in_a_study_wait_for_no_library(imports, tiny, old, new, words):
    tiny.write_text(tiny.read_text().replace(old, new))
    code, output, imported = imports(HEAVY, "run", tiny)
    assert (code, words in output, imported) == (2, True, [])


@pytest.mark.parametrize("arguments", [["status"], ["run"], ["run", "--dry-run"]])
def test_with_nothing_to_run_only_what_methods_need_is_imported(imports, tiny, tmp_path, arguments):
    store = Store(tmp_path / "results" / "tiny")
    store.path.parent.mkdir(parents=True)
    for record in make_records(load_study(str(tiny))):
        store.append(record)
    code, output, imported = imports(NO_FIGURES, arguments[0], tiny, *arguments[1:])
    assert (code, imported) == (0, [])
    assert "10 of 10" in output or "0 of 10 trials to run" in output


@pytest.mark.parametrize(
    ("words", "offered"),
    [("deadweight pl", "plot"), ("deadweight run digits_f", "digits_full"), ("deadweight check impl", "implicit")],
)
def test_a_shell_completes_commands_studies_and_methods(words, offered):
    completing = {"_DEADWEIGHT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = Path(sys.executable).with_name("deadweight")
    done = subprocess.run([command], env={**os.environ, **completing}, capture_output=True, text=True, check=False)
    found = done.stdout.split()
    assert offered in found
    assert all(name.startswith(words.split()[-1]) for name in found)


def test_every_command_says_what_each_of_its_arguments_is():
    from typer.main import get_command

    for name, command in get_command(app).commands.items():
        for parameter in command.params:
            assert parameter.help, (name, parameter.name)

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from benchmark import own_files
from benchmark.cli import main
from benchmark.method import registry as registry_module
from benchmark.runner import states

settings.register_profile("fuzz", max_examples=10_000, deadline=None)  # minutes: for what is read from files

LONGEST = ("test_readme.py", "test_on_ray.py", "test_cluster.py", "test_going_on.py")
FAULTY = Path(__file__).parent / "faulty"
TINY = """
title = "Tiny"
seeds = [0, 1]

[protocol]
epochs = 4

[[tasks]]
dataset = "simulated"
network = "mlp"
widths = [8]

[methods.dense]

[methods.implicit]
strength = [0.001, 0.1]

[methods.magnitude_filter]
ratio = [0.25, 0.75]
"""


def pytest_addoption(parser):
    parser.addoption("--scale", action="store_true", help="also publish a hundred thousand made-up records")
    parser.addoption("--networks", type=int, default=60, help="how many wild networks removal is tried on")


def pytest_collection_modifyitems(items):
    """The longest tests first, so that all workers end together."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_files(monkeypatch):
    """A test knows no file of another's study."""
    monkeypatch.setattr(own_files, "KNOWN", {})


@pytest.fixture
def tiny(tmp_path):
    """A study file that runs in a second."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def deadweight(monkeypatch, capsys, tmp_path):
    """Runs the command in this process, in an empty folder; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["deadweight", *map(str, arguments)])
        try:
            main.main()
            code = 0
        except SystemExit as ending:
            code = ending.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def sketched(monkeypatch):
    """Pictures hold their figure's texts and lines, laid out but not painted: for tests whose subject they are not."""

    def savefig(figure, file, format, **options):
        if not getattr(figure, "laid_out", False):
            figure.draw_without_rendering()
            figure.laid_out = True
        lines = [line.get_xydata().tolist() for line in figure.findobj(Line2D)]
        file.write(f"{format} {[text.get_text() for text in figure.findobj(Text)]} {lines}".encode())

    monkeypatch.setattr(Figure, "savefig", savefig)


@pytest.fixture
def faulty_methods(monkeypatch):
    """Registers the methods of tests/faulty through their entry points; what their import changes goes with them."""
    monkeypatch.setattr(states, "INTERVAL", states.INTERVAL)
    monkeypatch.syspath_prepend(str(FAULTY))
    registry_module.registry.cache_clear()
    yield
    registry_module.registry.cache_clear()
    sys.modules.pop("faulty", None)

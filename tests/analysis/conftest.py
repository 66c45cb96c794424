import pytest

from benchmark.experiment.study import load_study
from tests.conftest import TINY


@pytest.fixture
def study(tmp_path):
    """The tiny study with three seeds."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace("[0, 1]", "[0, 1, 2]"))
    return load_study(str(path))

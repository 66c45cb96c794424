"""Dying channels, in a run and under the penalty alone."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.dynamics.trajectories import ALIVE, _stops, follow
from benchmark.errors import UsageError
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.experiment.trial import Trial
from benchmark.runner.trial import run
from tests.conftest import TINY

DYING = TINY.replace("epochs = 4", "epochs = 40").replace("widths = [8]", "widths = [32]\nnorm = 'none'")


def trial(tmp_path, text=DYING, label="implicit") -> Trial:
    path = tmp_path / "dying.toml"
    path.write_text(text.replace("strength = [0.001, 0.1]", "strength = [0.03, 0.1]\nlearning_rate = 0.01"))
    return next(t for t in load_study(str(path)).trials() if t.label == label)


def test_after_its_last_activation_a_channel_moves_as_under_the_penalty_alone(tmp_path):
    paths, history = follow(trial(tmp_path), 3, lambda text: None)
    assert history.loss == run(trial(tmp_path), None).history["loss"]
    for path in paths:
        assert 0 < path.last < len(path.run) - len(path.run) // 10
        assert path.run[path.last] > ALIVE
        assert path.alone == pytest.approx(path.run[path.last :], rel=1e-5, abs=1e-30)
        assert path.alone[-1] < 0.5 * path.alone[0]


def test_a_channel_stops_where_no_later_batch_activates_it():
    active = np.zeros((20, 4), dtype=bool)
    active[:3, 0] = active[7, 1] = active[19, 2] = True
    assert _stops(active) == [(2, 0), (7, 1)]
    assert _stops(active[:8]) == [(2, 0)]


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        (DYING, "magnitude_filter", "not L2 inside the optimiser"),
        (DYING.replace("[32]", "[8, 8]"), "implicit", "one hidden layer"),
        (DYING.replace("[methods.implicit]", "[methods.l1]"), "l1", "not L2 inside the optimiser"),
        (DYING.replace("[methods.implicit]", "[methods.implicit]\noptimizer = 'adamw'"), "implicit", "not L2 inside"),
        (DYING.replace("epochs = 40", "epochs = 1\nbatch_size = 512"), "implicit", "no channel stops"),
    ],
)
def test_what_has_no_trajectories_is_refused(tmp_path, text, label, message):
    with pytest.raises(ValueError, match=message):
        follow(trial(tmp_path, text, label), 3, lambda text: None)


def test_the_command_draws_a_record(tmp_path):
    own = trial(tmp_path)
    (tmp_path / "dying").mkdir()
    Store(tmp_path / "dying").append(run(own, None, provenance={"threads": 1}))
    command = ["trajectories", str(tmp_path / "dying.toml"), own.key[:6], "--results", str(tmp_path)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "the penalty alone moves each one's norm as the run does" in result.output
    assert (tmp_path / "dying" / "figures" / f"trajectories-{own.key[:8]}.png").exists()
    with pytest.raises(UsageError, match="unknown record"):
        CliRunner().invoke(app, [*command[:2], "zzz", *command[3:]], catch_exceptions=False)

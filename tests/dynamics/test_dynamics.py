import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.cli import dynamics as dynamics_command
from benchmark.dynamics import norm_figures, simulation
from benchmark.dynamics import rates as dynamics_rates
from benchmark.dynamics.closed_forms import (
    adam_noise_floor,
    amplitude,
    boundary,
    heavy_ball,
    noise_floor,
    steps_to_fraction,
)
from benchmark.dynamics.rates import Rate
from benchmark.dynamics.rates_table import table
from benchmark.dynamics.simulation import decay_per_step, root_mean_square, simulate, stability_boundary


def at(*values):
    return torch.tensor(values, dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("strength", [1e-3, 0.1, 5.0])
def test_sgd_shrinks_by_alpha_lambda_a_step(strength):
    path = simulate("sgd", at(1.0, -2.0), strength, 50, 0.1)
    assert path == pytest.approx(np.outer((1 - 0.1 * strength) ** np.arange(51), [1, -2]), rel=1e-12)


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_momentum_shrinks_by_the_largest_root(strength):
    factor = decay_per_step(simulate("momentum", at(1.0), strength, 4000, 0.01), 1000, 4000)
    assert factor == pytest.approx(heavy_ball(0.01 * strength, 0.9), rel=1e-5)


def test_momentum_rate_is_alpha_lambda_over_one_minus_mu_to_first_order():
    for k in (1e-6, 1e-5, 1e-4):
        assert 1 - heavy_ball(k, 0.9) == pytest.approx(k / 0.1, rel=100 * k)
    assert heavy_ball(0.1, 0.9) == pytest.approx(0.9**0.5, rel=1e-12)


def test_momentum_crosses_zero_only_above_its_bound():
    bound = (1 - 0.9**0.5) ** 2 / 0.01
    assert simulate("momentum", at(1.0), 0.9 * bound, 1500, 0.01).min() > 0
    assert simulate("momentum", at(1.0), 1.5 * bound, 1500, 0.01).min() < 0


def test_adam_falls_alike_whatever_lambda_is():
    strengths = at(1e-3, 1e-1, 10.0)
    path = simulate("adam", at(0.05, 0.05, 0.05), strengths, 200, 1e-3)
    assert path[0] - path[1] == pytest.approx(1e-3, rel=1e-3)
    crossings = (path <= 0).argmax(axis=0)
    assert (crossings == crossings[0]).all()
    assert 50 < crossings[0] < 100


def test_adams_memory_delays_it_by_the_closed_form():
    path = simulate("adam", at(50.0), 1e-3, 26_000, 1e-3)[:, 0]
    assert (path < 25).argmax() == pytest.approx(steps_to_fraction(0.5, 50_000, 0.999), rel=0.003)


@pytest.mark.parametrize("ratio", [0.01, 1.0, 20.0])
def test_adam_near_zero_is_a_heavy_ball(ratio):
    path = simulate("adam", at(1e-100), ratio * 1e-8 / 1e-3, 3000, 1e-3)
    assert decay_per_step(path, 500, 3000) == pytest.approx(heavy_ball(0.1 * ratio, 0.9), rel=1e-5)


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
def test_the_boundary_by_bisection(beta1):
    assert stability_boundary(beta1) == pytest.approx(boundary(beta1), rel=1e-4)
    assert boundary(0.9) == pytest.approx(38)


def test_the_boundary_does_not_depend_on_what_v_remembered():
    assert stability_boundary(0.9, beta2=0.99, start=0.05, settle=4000) == pytest.approx(38, rel=1e-4)


def test_rmsprop_ends_in_its_orbit():
    path = simulate("rmsprop", at(0.05), 1e-3, 8000, 1e-3)[-100:, 0]
    assert path[::2] == pytest.approx(path[0], rel=1e-9)
    assert path[1::2] == pytest.approx(-path[0], rel=1e-9)
    assert abs(path[0]) == pytest.approx(amplitude(1e-3, 1e-3, 0.0), rel=1e-9)


def test_adams_cycle_is_near_its_orbit_and_a_learning_rate_drop_ends_it():
    start = torch.linspace(1e-5, 2e-5, 16, dtype=torch.float64)
    path = simulate("adam", start, 1e-3, 14_000, lambda step: 1e-3 if step < 12_000 else 2.5e-4)
    assert root_mean_square(path[4000:12_000]) == pytest.approx(amplitude(1e-3, 1e-3, 0.9), rel=0.15)
    assert amplitude(2.5e-4, 1e-3, 0.9) == 0
    assert np.abs(path[-1]).max() < 1e-15
    assert decay_per_step(path, 12_500, 14_000) == pytest.approx(0.9**0.5, rel=1e-3)


def test_adamw_keeps_its_own_slow_decay_and_adam_does_not():
    path = simulate("adamw", at(0.05), 0.1, 1000, 1e-3)
    assert path[:, 0] == pytest.approx(0.05 * (1 - 1e-4) ** np.arange(1001), rel=1e-12)
    assert abs(simulate("adam", at(0.05), 0.1, 1000, 1e-3)[-1, 0]) < 1e-15


def test_amsgrad_never_forgets_and_needs_no_epsilon():
    path = simulate("amsgrad", at(1e-3), 1.0, 5000, 1e-3)
    assert decay_per_step(path, 1000, 5000) == pytest.approx(0.9**0.5, rel=1e-3)


@pytest.mark.parametrize(("name", "rate", "momentum"), [("sgd", 0.1, 0.0), ("momentum", 0.01, 0.9)])
def test_noise_floor_of_gradient_descent(name, rate, momentum):
    path = simulate(name, torch.zeros(256), 1.0, 6000, rate, 1e-4, generator())
    assert root_mean_square(path[1000:]) == pytest.approx(noise_floor(rate, 1.0, 1e-4, momentum), rel=0.02)


@pytest.mark.parametrize("noise", [1e-8, 1e-7, 1e-6])
def test_noise_floor_of_adam(noise):
    path = simulate("adam", torch.zeros(128), 1e-2, 10_000, 1e-3, noise, generator())
    assert root_mean_square(path[6000:]) == pytest.approx(adam_noise_floor(1e-3, 1e-2, noise, 0.9), rel=0.02)


def test_adams_floor_without_noise_is_its_orbit():
    assert adam_noise_floor(1e-3, 1e-2, 1e-14, 0.9) == pytest.approx(amplitude(1e-3, 1e-2, 0.9), rel=1e-6)


def test_noise_comes_from_the_generator_alone():
    def run(seed):
        return simulate("adam", at(1.0), 1e-3, 20, 1e-3, 1e-4, generator(seed))

    before = torch.random.get_rng_state()
    assert (run(0) == run(0)).all()
    assert (run(0) != run(1)).any()
    assert (torch.random.get_rng_state() == before).all()


def test_the_start_is_left_alone():
    start = at(1.0)
    simulate("sgd", start, 1.0, 3, 0.1)
    assert start == 1


def test_the_norm_of_what_cannot_be_squared():
    assert simulation.norms(np.array([[3e-200, 4e-200], [0, 0], [3, 4]])) == pytest.approx([5e-200, 0, 5], abs=0)


def test_the_table_has_errors_and_escapes_bars():
    frame, markdown = table([Rate("adam", "steps", "|w| 1", 99.0, 100.0, "x")])
    assert frame["relative error"].tolist() == [-0.01]
    assert r"\|w\| 1" in markdown
    assert "-1.0e-02" in markdown


@pytest.fixture
def short(monkeypatch):
    """The command with one row and one figure, of few steps."""
    row = Rate("sgd", "rate", "α 1", 1.0, 1.0, "αλ")
    monkeypatch.setattr(dynamics_rates, "measure_rates", lambda generator: [row])

    def draw_all(rates, generator):
        yield norm_figures.draw_norm(torch.ones(16) / 4, generator, steps=200)

    monkeypatch.setattr(dynamics_command, "_draw_all", draw_all)


@pytest.mark.usefixtures("short")
def test_the_command_writes_what_it_says_and_the_same_again(deadweight, tmp_path):
    contents = []
    for name in ("a", "b"):
        code, out, _ = deadweight("dynamics", "--out", tmp_path / name)
        assert code == 0
        assert f"wrote 6 files under {tmp_path / name}" in out.splitlines()[-1]
        contents.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert sorted(contents[0]) == ["norm.csv", "norm.pdf", "norm.png", "norm.svg", "rates.csv", "rates.md"]
    assert contents[0] == contents[1]
    assert set(pd.read_csv(tmp_path / "a" / "norm.csv").optimizer) >= {"sgd", "adam", "adamw"}


def test_a_bad_folder_is_refused_before_anything_runs(deadweight, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamics_rates, "measure_rates", lambda generator: pytest.fail("it ran"))
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        code, _, err = deadweight("dynamics", "--out", out)
        assert code == 2
        assert err.count("\n") == 1
        assert "cannot write" in err
    assert (tmp_path / "file").read_text() == "mine"

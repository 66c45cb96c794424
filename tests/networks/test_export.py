"""Reduced networks taken home: each form is loaded again and equals what was exported, or nothing is left."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import deadweight
from benchmark.errors import UsageError
from benchmark.networks.build import build
from benchmark.networks.export import export
from benchmark.networks.measure import accuracy, logits
from benchmark.networks.reduce import build_network, reduce_network
from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import find_groups

ARGUMENTS = {"network": "lenet5", "shape": [1, 28, 28], "classes": 10, "seed": 3, "widths": [6, 8, 16]}
FACTORY = """
from torch import nn

def network():
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 4))

def nothing():
    return None
"""


@pytest.fixture
def images():
    return torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def reduced(images):
    network = build(**{**ARGUMENTS, "shape": (1, 28, 28), "widths": (6, 8, 16)})
    for group in find_groups(network, images).groups:
        group.zero_incoming(torch.arange(group.size) % 2 == 0)
    return remove_silent(network, images).module


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's factory, importable from the working directory."""
    (tmp_path / "mine.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


@pytest.mark.parametrize("form", ["state_dict", "torch", "onnx"])
def test_an_export_loads_again_and_is_equal(form, reduced, images, tmp_path):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    labels = torch.arange(16) % 10
    exported = export(reduced, tmp_path / "net", form, images, labels, ARGUMENTS)
    assert exported.deviation <= 1e-5
    assert exported.accuracy == accuracy(reduced, images, labels)
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    if form == "state_dict":
        assert torch.equal(logits(deadweight.load(tmp_path / "net"), images), logits(reduced, images))
    if form == "torch":
        program = torch.export.load(tmp_path / "net").module()
        assert torch.allclose(program(images[:5]), logits(reduced, images[:5]), atol=1e-5)


def test_the_documented_lines_load_a_state_dict(reduced, images, tmp_path):
    export(reduced, tmp_path / "net", "state_dict", images)
    lines = sys.modules[export.__module__].__doc__.split("reduced from:")[1].split("`torch` is")[0]
    code = "\n".join(line[4:] for line in lines.splitlines())
    network = build("lenet5", (1, 28, 28), 10, seed=9, widths=(6, 8, 16))
    exec(code, {"json": json, "torch": torch, "Path": Path, "folder": tmp_path / "net", "network": network})
    assert torch.equal(logits(network, images), logits(reduced, images))


def test_a_target_that_exists_is_left_alone(reduced, images, tmp_path):
    (tmp_path / "net").write_text("mine")
    with pytest.raises(UsageError, match="net exists already"):
        export(reduced, tmp_path / "net", "torch", images)
    assert (tmp_path / "net").read_text() == "mine"


def test_what_cannot_be_expressed_leaves_nothing_behind(images, tmp_path):
    class Moody(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else -super().forward(x)

    with pytest.raises(UsageError, match="torch cannot express Moody") as error:
        export(Moody(28, 3), tmp_path / "net", "torch", images)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_differs_is_not_kept(images, tmp_path):
    class Unsteady(nn.Flatten):
        calls = 0

        def forward(self, x):
            type(self).calls += 1
            return super().forward(x) * self.calls

    with pytest.raises(UsageError, match="state_dict copy deviates"):
        export(nn.Sequential(Unsteady(), nn.Linear(784, 2)), tmp_path / "net", "state_dict", images, network=None)
    assert list(tmp_path.iterdir()) == []


def test_load_refuses_what_does_not_fit(reduced, images, tmp_path):
    export(reduced, tmp_path / "net", "state_dict", images)
    with pytest.raises(UsageError, match="a network of your own"):
        deadweight.load(tmp_path / "net")
    with pytest.raises(UsageError, match="does not fit Sequential"):
        deadweight.load(tmp_path / "net", nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(UsageError, match="holds no exported network"):
        deadweight.load(tmp_path)


def test_a_users_network_is_reduced_exactly(own):
    network = build_network("mine:network")
    network[0].weight.data[[1, 4]] *= 1e-6
    torch.save(network.state_dict(), own / "weights.pt")
    images = torch.randn(4, 1, 6, 6)
    reduction = reduce_network(build_network("mine:network", own / "weights.pt"), 1e-4, images)
    assert reduction.removal.channels_left == {"0": 4}
    assert reduction.change < 1e-5
    assert reduction.parameters == (6 * 10 + 97 * 4, 4 * 10 + 65 * 4)
    assert reduction.macs == (6 * 9 * 16 + 96 * 4, 4 * 9 * 16 + 64 * 4)
    assert torch.allclose(logits(reduction.removal.module, images), logits(network, images), atol=1e-4)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("mine:nothing", "returns a NoneType"),
        ("mine:absent", "has no attribute"),
        ("absent:network", "No module named"),
    ],
)
def test_a_factory_that_gives_no_network_is_named(own, factory, message):
    with pytest.raises(UsageError, match=message):
        build_network(factory)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"0.weight": torch.zeros(6, 1, 3, 3)},
            r"does not fit Sequential: 0\.bias is missing; 3\.weight is missing; 3\.bias is missing",
        ),
        ({"model": {"0.weight": torch.zeros(5, 1, 3, 3)}}, r"0\.bias is missing; .*; .* and 1 more"),
        ([1], "holds a list"),
        (None, "does not exist"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_line(own, state, message):
    if state is not None:
        torch.save(state, own / "weights.pt")
    with pytest.raises(UsageError, match=message) as error:
        build_network("mine:network", own / "weights.pt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [(0.0, "no channel has an incoming norm below 0"), (1e9, r"all 6 channels of 0 are below 1e\+09")],
)
def test_a_threshold_that_takes_nothing_or_all_is_refused(own, threshold, message):
    with pytest.raises(UsageError, match=message):
        reduce_network(build_network("mine:network"), threshold, torch.randn(4, 1, 6, 6))


def test_weights_that_are_not_finite_are_refused(own):
    network = build_network("mine:network")
    network[0].weight.data[:2] = 0
    network[3].weight.data[0, -1] = torch.nan
    with pytest.raises(UsageError, match=r"3\.weight holds NaN"):
        reduce_network(network, 1e-4, torch.randn(4, 1, 6, 6))

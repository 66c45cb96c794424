"""A network, arrays and weights as a user brings them, and a study of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

NETS = '''
from torch import nn


def build(shape, classes, widths=(6, 8)):
    """Two convolutions over a signal, batch norm, a global mean."""
    first, second = widths
    return nn.Sequential(
        nn.Conv1d(shape[0], first, 3, padding=1, bias=False), nn.BatchNorm1d(first), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(first, second, 3, padding=1, bias=False), nn.BatchNorm1d(second), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(second, classes),
    )
'''
STUDY = """
title = "Own"
seeds = [0]

[protocol]
epochs = 4

[[tasks]]
dataset = "npz:signals.npz"
network = "my_nets.py:build"
checkpoint = "trained.pt"

[methods.checkpoint]

[methods.dense]
learning_rate = 0.01

[methods.scratch]
ratio = 0.5

[methods.magnitude_filter]
ratio = [0.25, 0.75]
learning_rate = 0.01
"""


def signals(count: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy sines of three frequencies (N × 1 × 16), and which of the three."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    phases = generator.uniform(0, 2 * np.pi, (count, 1))
    waves = np.sin((1 + 2 * labels[:, None]) * np.linspace(0, 2 * np.pi, 16) + phases)
    return (waves + 0.2 * generator.normal(size=waves.shape))[:, None].astype(np.float32), labels


def built(text: str = NETS) -> nn.Module:
    """The network of the file, as a user builds it."""
    names: dict = {}
    exec(text, names)
    torch.manual_seed(3)
    return names["build"]((1, 16), 3)


def trained() -> nn.Module:
    """The network after a training that the suite knows nothing of."""
    network = built()
    network.load_state_dict(_state())
    return network.eval()


@cache
def _state() -> dict[str, torch.Tensor]:
    network, (x, y) = built(), map(torch.from_numpy, signals())
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(15):
        for part in torch.arange(len(x)).split(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[part]), y[part]).backward()
            optimizer.step()
    return network.state_dict()


def write_own(folder: Path, study: str = STUDY, name: str = "own.toml") -> Path:
    """Everything that the study names, in its folder; returns the study's file."""
    (folder / "my_nets.py").write_text(NETS)
    (x, y), (x_test, y_test) = signals(), signals(90, seed=1)
    np.savez(folder / "signals.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    torch.save(trained().state_dict(), folder / "trained.pt")
    (folder / name).write_text(study)
    return folder / name

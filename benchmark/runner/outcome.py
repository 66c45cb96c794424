"""What a trial has come to: filled as it goes, so that one which fails keeps what it reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from benchmark.data.dataset import Dataset
from benchmark.networks.measure import (
    EVALUATION_BATCH,
    accuracy,
    macs,
    never_active,
    norm_histogram,
    parameters,
    zero_weights,
)
from benchmark.removal.exact import Removal
from benchmark.removal.groups import Net
from benchmark.runner.train import History

SWEEP = tuple(f"{10.0**-power:.0e}" for power in range(16, -1, -1))  # the ξ that records have numbers for


@dataclass(frozen=True)
class Trained:
    """What only the trained network shows, before a channel of it is silenced; fields as in the record."""

    threshold_sweep: dict[str, float]
    norm_histogram: dict[str, int]
    never_active: float | None


@dataclass(frozen=True)
class Measurements:
    """What is measured of the reduced network at the end, beside the silenced one; fields as in the record."""

    val_accuracy: float
    test_accuracy: float
    channels: int
    channels_left: dict[str, int]
    params: int
    params_dense: int
    macs: int
    macs_dense: int
    channel_sparsity: float
    param_sparsity: float
    mac_sparsity: float
    weight_sparsity: float
    removal_error: float
    removal_tried: dict[str, int]
    kept_whole: dict[str, str]


@dataclass
class Outcome:
    """A trial's outcome so far; what it has not reached is None or empty."""

    content: str | None = None  # identifies the data
    history: History = field(default_factory=History)
    stage_accuracy: dict[str, float] = field(default_factory=dict)
    trained: Trained | None = None
    threshold_accuracy: dict[str, float] = field(default_factory=dict)
    threshold: float | None = None
    features: tuple[int, int] | None = None  # single ones before and after removal, where the task has them
    measurements: Measurements | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of the record that have been reached."""
        return {
            "history": self.history.finite_epochs(),
            "train_seconds": self.history.seconds,
            "stage_accuracy": self.stage_accuracy,
            "threshold_accuracy": self.threshold_accuracy,
            "threshold": self.threshold,
            "best_test_accuracy": self.history.best_test,
            **(dict(zip(("features", "features_left"), self.features, strict=True)) if self.features else {}),
            **(vars(self.trained) if self.trained else {}),
            **(vars(self.measurements) if self.measurements else {}),
        }


def measure_trained(net: Net, data: Dataset) -> Trained:
    """The channels' norms, and which of them no training image activates."""
    norms = net.incoming_norms()
    return Trained(
        threshold_sweep={xi: (norms < float(xi)).sum().item() / net.hidden_channels for xi in SWEEP},
        norm_histogram=norm_histogram(norms),
        never_active=never_active(net.module, data.inputs(data.train, EVALUATION_BATCH)),
    )


def measure_reduced(silenced: nn.Module, removal: Removal, data: Dataset, example: Tensor) -> Measurements:
    """Accuracy and size of the reduced network; `example` is a batch to count with."""
    module = removal.module
    channels, left = sum(removal.channels.values()), sum(removal.channels_left.values())
    params, params_dense = parameters(module), parameters(silenced)
    macs_left, macs_dense = macs(module, example), macs(silenced, example)
    zeros, weights = zero_weights(module)
    return Measurements(
        val_accuracy=accuracy(module, data.pixels(data.validation.images), data.validation.labels),
        test_accuracy=accuracy(module, data.pixels(data.test.images), data.test.labels),
        channels=channels,
        channels_left=removal.channels_left,
        params=params,
        params_dense=params_dense,
        macs=macs_left,
        macs_dense=macs_dense,
        channel_sparsity=1 - left / channels,
        param_sparsity=1 - params / params_dense,
        mac_sparsity=1 - macs_left / macs_dense,
        weight_sparsity=1 - (weights - zeros) / zero_weights(silenced)[1],
        removal_error=removal.deviation,
        removal_tried=removal.tried,
        kept_whole=removal.kept_whole,
    )

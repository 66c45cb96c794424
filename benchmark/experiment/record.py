"""What came of a trial."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmark.experiment.trial import SCHEMA, MethodSetting, Protocol, Task, Trial, trial_key
from benchmark.method.registry import get_method

SILENT = 1e-15  # ‖w_k‖₂ below which the history counts a channel as silent (Yaguchi et al. 2018)

MEASURED = ("ok", "collapsed")

FINISHED = ("ok", "collapsed", "diverged")  # outcomes that running again would repeat


class Record(BaseModel):
    """One trial's outcome. Where the status is not ok or collapsed, what was not reached is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int
    key: str
    study: str
    label: str
    task: Task
    setting: MethodSetting
    base: MethodSetting | None
    knob: str | None
    protocol: Protocol
    seed: int
    fine_tune: bool | None = None  # as in the trial
    status: str
    error: str | None = None

    val_accuracy: float | None = None  # of the final network: reduced, and fine-tuned where the trial does
    test_accuracy: float | None = None
    stage_accuracy: dict[str, float] = {}  # on validation: trained, silenced, reduced, fine_tuned
    channels: int | None = None  # hidden channels before removal
    channels_left: dict[str, int] = {}  # by group
    params: int | None = None
    params_dense: int | None = None
    macs: int | None = None
    macs_dense: int | None = None
    channel_sparsity: float | None = None
    param_sparsity: float | None = None
    mac_sparsity: float | None = None
    weight_sparsity: float | None = None
    removal_error: float | None = None  # largest relative |Δlogit| of reduced against silenced, float64
    removal_tried: dict[str, int] = {}  # samples on which that was searched, by kind and size; empty: not searched
    kept_whole: dict[str, str] = {}  # groups that cannot be removed from, and why
    threshold_sweep: dict[str, float] = {}  # fraction of channels with ‖w_k‖₂ < ξ after training, by ξ
    threshold_accuracy: dict[str, float] = {}  # on validation, silenced at each ξ of the sweep where the method has one
    threshold: float | None = None  # the method's ξ, fixed or by the rule
    norm_histogram: dict[str, int] = {}  # channels by ‖w_k‖₂ after training, see `measure.norm_histogram`
    never_active: float | None = None  # share of channels that no training image activates, after training
    latency: dict[str, float] = {}  # old records only: seconds for 64 images, dense and reduced, beside other trials
    history: dict[str, list[float]] = {}

    train_seconds: float | None = None  # this trial's own training, fine-tuning included
    base_seconds: float | None = None  # training of the shared base network
    peak_memory: int | None = None  # bytes, of the GPU or the process, earlier trials in it included
    created: str = ""
    provenance: dict[str, Any] = {}

    @property
    def trial(self) -> Trial:
        """The trial that this is the outcome of."""
        return Trial(**{name: getattr(self, name) for name in Trial.model_fields})

    @property
    def measured(self) -> bool:
        """Whether it has a reduced network, and so the numbers that are measured of one."""
        return self.status in MEASURED

    @property
    def knob_value(self) -> float | str | None:
        """The hyperparameter that trades size for accuracy; None for a method without one."""
        return self.setting.hyperparameters.get(self.knob) if self.knob else None

    @property
    def short_key(self) -> str:
        """As many digits of the key as name it to a reader."""
        return self.key[:8]

    def expected_key(self) -> str:
        """The key that the record's own fields give."""
        parts = self.task, self.setting, self.base, self.protocol, self.seed, self.fine_tune
        return trial_key(self.schema_version, *parts)


def describe(trial: Trial) -> dict[str, Any]:
    """The fields of a record that the trial alone determines."""
    return {
        "schema_version": SCHEMA,
        "key": trial.key,
        "study": trial.study,
        "label": trial.label,
        "task": trial.task,
        "setting": trial.setting,
        "base": trial.base,
        "knob": get_method(trial.setting.method).knob,
        "protocol": trial.protocol,
        "seed": trial.seed,
        "fine_tune": trial.fine_tune,
    }

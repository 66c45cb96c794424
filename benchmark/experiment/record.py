"""What came of a trial."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from benchmark.experiment.hashing import SCHEMA, trial_key
from benchmark.experiment.trial import MethodSetting, Protocol, Task, Trial
from benchmark.method.registry import get_method

SILENT = 1e-15  # ‖w_k‖₂ below which the history counts a channel as silent (Yaguchi et al. 2018)

MEASURED = ("ok", "collapsed")

FINISHED = ("ok", "collapsed", "diverged")  # outcomes that running again would repeat

UNFINISHED = ("failed", "crashed", "skipped", "timeout")  # outcomes that may be others the next time

Share = Annotated[float, Field(ge=0, le=1)]
Sparsity = Annotated[float, Field(ge=-1, le=1)]  # below 0 where carriers take more than removal saves
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0, lt=2**53)]  # as a page's script can hold it
Number = Annotated[int, Field(ge=1, lt=2**53)]
Status = Annotated[str, Field(pattern=f"^({'|'.join(FINISHED + UNFINISHED)})$")]
Power = Annotated[str, Field(pattern=r"^\de[+-]\d\d$")]
Lower = Annotated[str, Field(pattern=r"^(-inf|-?\d+\.\d\d)$")]


class Record(BaseModel):
    """One trial's outcome. Where the status is not ok or collapsed, what was not reached is None."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
    status: Status
    error: str | None = None

    val_accuracy: Share | None = None  # of the final network: reduced, and fine-tuned where the trial does
    test_accuracy: Share | None = None
    best_test_accuracy: Share | None = None  # of the best epoch of the last part: chosen by the test set, no result
    stage_accuracy: dict[str, Share] = {}  # on validation: (checkpoint,) trained, silenced, reduced, fine_tuned
    channels: Number | None = None  # hidden channels before removal
    channels_left: dict[str, Count] = {}  # by group
    features: Number | None = None  # single ones that the first dense layer reads, where the task has them
    features_left: Number | None = None  # and after removal; counted in params and macs, never among the channels
    params: Number | None = None
    params_dense: Number | None = None
    macs: Count | None = None
    macs_dense: Number | None = None
    channel_sparsity: Sparsity | None = None
    param_sparsity: Sparsity | None = None
    mac_sparsity: Sparsity | None = None
    weight_sparsity: Sparsity | None = None
    removal_error: Amount | None = None  # largest relative |Δlogit| of reduced against silenced, float64
    removal_tried: dict[str, Count] = {}  # samples on which that was searched, by kind and size; empty: not searched
    kept_whole: dict[str, str] = {}  # groups that cannot be removed from, and why
    threshold_sweep: dict[Power, Share] = {}  # fraction of channels with ‖w_k‖₂ < ξ after training, by ξ
    threshold_accuracy: dict[Power, Share] = {}  # on validation, silenced at each ξ tried, where the method has one
    threshold: Amount | None = None  # the method's ξ, fixed or by the rule
    norm_histogram: dict[Lower, Count] = {}  # channels by ‖w_k‖₂ after training, see `measure.norm_histogram`
    never_active: Share | None = None  # share of channels that no training image activates, after training
    latency: dict[
        str, Annotated[float, Field(gt=0)]
    ] = {}  # old records only: seconds for 64 images, dense and reduced, beside other trials
    history: dict[str, list[float]] = {}
    losses: Count = 0  # how often its worker process or machine ended under it before
    side_effects: list[str] = []  # what it changed of its process, which was put back before another trial ran there

    train_seconds: Amount | None = None  # this trial's own training, fine-tuning included
    base_seconds: Amount | None = None  # training of the shared base network
    peak_memory: Count | None = None  # bytes, of the GPU or the process, earlier trials in it included
    created: Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00)?$")] = ""
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

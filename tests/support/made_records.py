"""Records of trials that were never run."""

from benchmark.analysis.frame import as_frame
from benchmark.experiment.record import Record, describe

SWEEP = ("1e-16", "1e-08", "1e-02", "1e+00")
PROVENANCE = {
    "commit": "a" * 40, "dirty": False, "torch": "2", "numpy": "2", "python": "3.12", "device": "cpu", "cpu": "Some",
    "threads": 1,
}  # fmt: skip


def result(trial, **fields):
    """A record that every rule of a fair comparison is met by."""
    epochs = trial.protocol.epochs - trial.stages[0]
    numbers = dict.fromkeys(("param_sparsity", "mac_sparsity", "channel_sparsity", "weight_sparsity"), 0.5)
    own = {
        "status": "ok", "val_accuracy": 0.9, "test_accuracy": 0.8, "stage_accuracy": {"trained": 0.9, "reduced": 0.9},
        "params": 10, "macs": 10, "removal_error": 2e-15, "latency": {"dense": 2.0, "reduced": 1.0},
        "history": {"loss": [0.5] * epochs, "val_accuracy": [0.9] * epochs}, "provenance": PROVENANCE,
    }  # fmt: skip
    return Record(**{**describe(trial), **numbers, **own, **fields})


def failure(trial, **fields):
    return Record(**describe(trial), status="failed", error="no luck", provenance=PROVENANCE, **fields)


def make_records(study, fails=()):
    """One record per trial; the larger the knob and the seed, the sparser and the less accurate. `fails` are labels."""
    return [_record(place, trial, trial.label in fails) for place, trial in enumerate(study.trials())]


def make_frame(study, records):
    return as_frame(records, {label: study.legend(label) for label in study.tables})


def _record(place, trial, fails):
    told = describe(trial)
    if fails:
        return Record(**told, status="failed", error="made to")
    knob = trial.setting.hyperparameters[told["knob"]] if told["knob"] else 0.0
    sparsity = min(1.0, 5 * knob + trial.seed / 100) if knob else 0.0
    below = [sparsity * share for share in (0.5, 0.6, 0.7)] if trial.label == "implicit" else [0.0, 0.0, 0.0]
    return Record(
        **told,
        status="ok",
        val_accuracy=0.95 - 0.1 * sparsity,
        test_accuracy=0.94 - 0.1 * sparsity - place / 1e4,
        **dict.fromkeys(("param_sparsity", "mac_sparsity", "channel_sparsity", "weight_sparsity"), sparsity),
        threshold_sweep=dict(zip(SWEEP, [*below, 1.0], strict=True)),
        train_seconds=1.0 + place,
    )

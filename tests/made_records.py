"""Records of a study that nobody ran."""

from benchmark.records import Record, describe
from benchmark.tables import frame

SWEEP = ("1e-16", "1e-08", "1e-02", "1e+00")


def make_records(study, fails=()):
    """One record per trial; the larger the knob and the seed, the sparser and the less accurate. `fails` are labels."""
    return [_record(place, trial, trial.label in fails) for place, trial in enumerate(study.trials())]


def make_frame(study, records):
    return frame(records, {label: study.legend(label) for label in study.methods})


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

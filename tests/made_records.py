"""Records of trials that were never run."""

from benchmark.records import Record, describe

PROVENANCE = {
    "commit": "a" * 40, "dirty": False, "torch": "2", "numpy": "2", "python": "3.12", "device": "cpu", "cpu": "Some",
    "threads": 1,
}  # fmt: skip


def result(trial, **fields):
    """A record that every rule of a fair comparison is met by."""
    epochs = trial.protocol.epochs - trial.stages[0]
    numbers = dict.fromkeys(("param_sparsity", "mac_sparsity", "channel_sparsity", "weight_sparsity"), 0.5)
    own = {
        "status": "ok", "val_accuracy": 0.9, "test_accuracy": 0.8, "stage_accuracy": {"trained": 0.7, "reduced": 0.9},
        "params": 10, "macs": 10, "removal_error": 2e-15, "latency": {"dense": 2.0, "reduced": 1.0},
        "history": {"loss": [0.5] * epochs, "val_accuracy": [0.9] * epochs}, "provenance": PROVENANCE,
    }  # fmt: skip
    return Record(**{**describe(trial), **numbers, **own, **fields})


def failure(trial, **fields):
    return Record(**describe(trial), status="failed", error="no luck", provenance=PROVENANCE, **fields)

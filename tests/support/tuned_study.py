"""A study with tuning that runs in seconds, and records of it that nobody trained."""

from benchmark.experiment.tuning import EVALUATION
from tests.support.made_records import result

TUNED = """
title = "Tuned"
seeds = [0, 1]

[protocol]
epochs = 4

[[tasks]]
dataset = "simulated"
network = "mlp"
widths = [8]

[methods.dense]

[methods.implicit]
strength = [0.001, 0.1]

[methods.magnitude_filter]
ratio = [0.25, 0.75]

[methods.scratch]
ratio = [0.25, 0.5]
follows = "implicit"

[tuning]
seed = 100

[tuning.candidates]
dense = [{ learning_rate = 0.1 }, { learning_rate = 0.05 }]
implicit = [{ learning_rate = 0.001 }, { learning_rate = 0.01, strength = [0.002, 0.2] }]
magnitude_filter = [{ learning_rate = 0.1 }, { learning_rate = 0.05 }]
scratch = [{ learning_rate = 0.1 }, { learning_rate = 0.05 }]
"""

_METHODS, _, _TUNING = TUNED.partition("[methods.scratch]")
NOTHING_FOLLOWS = _METHODS + "[tuning]" + _TUNING.partition("[tuning]")[2].partition("scratch =")[0]


def measured(trial, accuracy, sparsity=0.0, left=8, **fields):
    """The record of a trial that ended with so many of the eight hidden channels."""
    numbers = {"val_accuracy": accuracy, "param_sparsity": sparsity, "channels": 8, "channels_left": {"0": left}}
    numbers["channel_sparsity"] = 1 - left / 8
    return result(trial, **numbers, **fields)


def tune(study, stages, outcome):
    """The records of all candidates, stage after stage; `outcome` gives a trial's."""
    records = []
    while EVALUATION not in (known := stages(study, records)):
        *_, stage = known.values()
        new = [outcome(trial) for trial in stage.trials() if trial.key not in {r.key for r in records}]
        assert new
        records += new
    return records

"""Data frames of made-up records."""

import pandas as pd


def rows(label, values, seed=0, status="ok", task="t"):
    """One row per (knob, validation, test, sparsity)."""
    return [
        {
            "key": f"{label}-{seed}-{i}",
            "task": task,
            "label": label,
            "title": label.title(),
            "status": status,
            "seed": seed,
            "knob_name": "strength",
            "knob": knob,
            "hyperparameters": f'{{"strength": {knob}}}',
            "val_accuracy": val,
            "test_accuracy": test,
            **dict.fromkeys(("param_sparsity", "mac_sparsity", "channel_sparsity", "weight_sparsity"), sparsity),
            "seconds": 2.0,
        }
        for i, (knob, val, test, sparsity) in enumerate(values)
    ]


def frame(*parts):
    made = pd.DataFrame([row for part in parts for row in part])
    numeric = ["knob", "val_accuracy", "test_accuracy", "seconds", *(c for c in made if c.endswith("sparsity"))]
    return made.astype(dict.fromkeys(numeric, float))


NAN = float("nan")
DENSE = rows("dense", [(NAN, 0.95, 0.94, 0.0)], seed=0) + rows("dense", [(NAN, 0.97, 0.96, 0.0)], seed=1)

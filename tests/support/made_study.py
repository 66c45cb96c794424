"""Records that nobody trained: smooth in the knob, noisy in the seed, and complete enough for every part of a page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmark.experiment.record import Record, describe
from benchmark.experiment.study import Study, load_study

PROVENANCE = {"commit": "c" * 40, "dirty": False, "torch": "2.13.0", "python": "3.11.7", "cpu": "made up", "threads": 1}


def made_study(folder: Path, tasks: int = 1, methods: int = 4, points: int = 4, seeds: int = 3) -> Path:
    """The file of a study with the dense control and `methods` − 1 labels of one method."""
    ratios = [round(0.05 + 0.9 * i / points, 4) for i in range(points)]
    lines = ['title = "Made up"', f"seeds = {list(range(seeds))}", "[protocol]", "epochs = 60"]
    lines += ["fine_tune_share = 0.0"]  # so that titles are as given
    for i in range(tasks):
        lines += ["[[tasks]]", 'dataset = "simulated"', 'network = "mlp"', f"widths = [{16 + i}, 8]"]
    lines += ["[methods.dense]"]
    for i in range(methods - 1):
        lines += [f"[methods.m{i}]", 'method = "magnitude_filter"', f'title = "Method {i}"']
        lines += [f"ratio = {[round(ratio + i * 1e-5, 6) for ratio in ratios]}"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "made.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def made_records(study: Study, bad: float = 0.02, new: bool = True) -> list[Record]:
    """A record for every trial of the study; a share `bad` of them failed. With `new` they have the optional fields."""
    return list(each_record(study, bad, new))


def each_record(study: Study, bad: float, new: bool) -> Iterator[Record]:
    """The same, one at a time."""
    generator = np.random.default_rng(0)
    epochs = np.arange(study.protocol.epochs)
    for trial in study.trials():
        yield _made(trial, generator, epochs, bad, new)


def _made(trial, generator, epochs, bad: float, new: bool) -> Record:
    sparsity = trial.setting.hyperparameters.get("ratio", 0.0)
    if trial.setting.method != "dense" and generator.random() < bad:
        return Record(**describe(trial), status="failed", error="ValueError: made up <b>to fail</b> & be shown")
    widths = trial.task.widths
    accuracy = float(np.clip(0.97 - 0.3 * sparsity**6 + generator.normal(0, 0.004), 0, 1))
    curve = accuracy * (1 - np.exp(-epochs / 8))
    optional = {
        "norm_histogram": {"-inf": int(sum(widths) * sparsity), "0.25": sum(widths) - int(sum(widths) * sparsity)},
        "never_active": sparsity / 2,
        "latency": {"dense": 1e-3, "reduced": 1e-3 * (1.05 - sparsity)},
    }
    left = {str(i): max(1, round(width * (1 - sparsity))) for i, width in enumerate(widths)}
    params, macs = (round(many * (1 - sparsity) * generator.uniform(0.98, 1)) for many in (10**6, 9 * 10**5))
    return Record(
        **describe(trial), status="ok", val_accuracy=round(accuracy + generator.normal(0, 0.002), 4),
        test_accuracy=round(accuracy, 4), channels=sum(widths), channels_left=left, params=params, params_dense=10**6,
        macs=macs, macs_dense=9 * 10**5, channel_sparsity=1 - sum(left.values()) / sum(widths),
        param_sparsity=1 - params / 10**6, mac_sparsity=1 - macs / (9 * 10**5), weight_sparsity=1 - params / 10**6,
        removal_error=1e-16, threshold_sweep={f"1e-{i:02}": 0.1 * (16 - i) / 16 for i in range(16, -1, -1)},
        history={
            "loss": np.exp(-epochs / 8).round(6).tolist(),
            "val_accuracy": curve.round(6).tolist(),
            "silent": (sparsity * (1 - np.exp(-epochs / 20))).round(6).tolist(),
        },
        train_seconds=10 + generator.random(), base_seconds=2.0, created="2026-01-01T00:00:00+00:00",
        provenance=PROVENANCE, **(optional if new else {}),
    )  # fmt: skip


def write_records(records: Iterable[Record], path: Path) -> None:
    """Writes a records.jsonl without the store's flush after each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.writelines(json.dumps(r.model_dump(mode="json", exclude_defaults=True)) + "\n" for r in records)


def made_results(folder: Path, bad: float = 0.02, new: bool = True, **sizes: int) -> tuple[Path, Path]:
    """A made-up study and its records as `--results` takes them: the study's file and the results folder."""
    path = made_study(folder, **sizes)
    write_records(each_record(load_study(str(path)), bad, new), folder / "results" / "made" / "records.jsonl")
    return path, folder / "results"


def made_conditions(folder: Path) -> Path:
    """The file of a study of conditions with two factors, alone and crossed."""
    path = folder / "conditions.toml"
    path.write_text(
        'title = "Made conditions"\nseeds = [0, 1, 2]\n[protocol]\nepochs = 60\n[[tasks]]\ndataset = "simulated"\n'
        'network = "mlp"\nwidths = [16, 8]\n[methods.dense]\n[methods.magnitude_filter]\nratio = 0.5\n[conditions]\n'
        'of = "magnitude_filter"\ncrossed = ["activation", "norm"]\n[conditions.factors.activation]\nrelu = {}\n'
        'tanh = {activation = "tanh"}\nelu = {activation = "elu"}\n[conditions.factors.norm]\nbatch = {}\n'
        'none = {norm = "none"}\n'
    )
    return path

"""The first page's numbers, against others computed from the lines of the published records in plain Python."""

import html
import json
from pathlib import Path
from statistics import fmean

import pandas as pd
import pytest

from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.site import digest, index, parts
from tests.support.made_study import made_results

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def files():
    study = load_study("digits")
    return index.write_index([parts.Source(digest.read(study, Store(RESULTS / "digits")), "")])


@pytest.fixture(scope="module")
def lines():
    """By label and seed the records of the evaluation, as JSON."""
    found = {}
    for line in (RESULTS / "digits/records.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "candidate" not in record["label"] and record["seed"] < 100:
            found.setdefault(record["label"], {}).setdefault(record["seed"], []).append(record)
    return found


def at(records, least):
    """Test accuracy of the record that validates best among those with so much removed; of equals the smaller."""
    reached = [r for r in records if r["param_sparsity"] >= least - 1e-12]
    best = max(reached, key=lambda r: (r["val_accuracy"], r["param_sparsity"]), default=None)
    return None if best is None else best["test_accuracy"]


def table(files, name):
    from io import BytesIO

    return pd.read_csv(BytesIO(files[f"data/{name}.csv"]))


@pytest.mark.parametrize("least", [0.75, 0.9])
def test_accuracies_and_gaps_are_those_of_the_records(files, lines, least):
    found = table(files, "verdict").set_index("label")
    column = f"at {100 * least:g} %"
    dense = {seed: own[0]["test_accuracy"] for seed, own in lines["dense"].items()}
    scratch = {seed: at(own, least) for seed, own in lines["scratch"].items()}
    assert len(found) == len(lines) - 1 == 12
    for label in found.index:
        values = {seed: at(own, least) for seed, own in lines[label].items()}
        known = {seed: value for seed, value in values.items() if value is not None}
        row = found.loc[label]
        assert row[f"{column} n"] == len(known)
        assert row[f"{column} mean"] == pytest.approx(fmean(known.values()))
        assert row[f"{column}, to dense mean"] == pytest.approx(fmean(v - dense[seed] for seed, v in known.items()))
        if label != "scratch":
            gap = fmean(v - scratch[seed] for seed, v in known.items())
            assert row[f"{column}, to scratch mean"] == pytest.approx(gap)


def test_the_probability_of_improvement_is_the_share_of_seeds_won(files, lines):
    found = table(files, "improvements")
    found = found[found.removed == 0.9].set_index(["label", "against"])
    for one, other in (("implicit", "scratch"), ("d_gating", "l1"), ("l1", "network_slimming")):
        pairs = [(at(lines[one][seed], 0.9) or -1, at(lines[other][seed], 0.9) or -1) for seed in lines[one]]
        won = fmean(1 if a > b else 0.5 if a == b else 0 for a, b in pairs)
        assert found.loc[(one, other), "probability"] == pytest.approx(won)
        assert found.loc[(one, other), "n"] == len(pairs) == 10


def test_the_sentences_name_who_has_the_highest_mean(files):
    found, page = table(files, "verdict"), files["index.html"].decode()
    for column, question in {"at 75 %": "75 %", "at 90 %": "90 %"}.items():
        whole = found[found[f"{column} n"] == found.seeds]
        first = whole.loc[whole[f"{column} mean"].idxmax()]
        assert f"To remove {question} of the parameters: on digits, {first.method} leads" in page
    assert "Over 1 task: a share can be nothing but 0 or 100 %" in page
    assert "average" not in page
    assert "rank" not in page


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((1, 1), "Over 1 task: a share can be nothing but 0 or 100 %"),
        ((2, 2), "Over 2 tasks: a share can be nothing but 0 or 50 or 100 %"),
        ((2, 1), "Over 2 studies' tasks, of which 1 is different: a share"),
        ((7, 7), "Over 7 tasks."),
    ],
)
def test_how_little_few_tasks_are_is_said(counts, text):
    assert index.few(*counts).startswith(text)


def test_methods_of_one_name_in_two_studies_and_of_one_title_stay_apart(tmp_path):
    sources = []
    for name in ("one", "two"):
        path, results = made_results(tmp_path / name, bad=0.0, seeds=5, points=12)
        path = path.rename(path.with_name(f"{name}.toml"))
        path.write_text(path.read_text().replace('title = "Method 1"', 'title = "Method 0"'))
        (results / "made").rename(results / name)
        sources.append(parts.Source(digest.read(load_study(str(path)), Store(results / name)), ""))
    files = index.write_index(sources)
    found = table(files, "verdict")
    assert list(found.task) == ["one"] * 3 + ["two"] * 3
    pairs = table(files, "improvements")
    assert set(pairs.n[pairs.removed == 0.75]) == {10}
    assert set(pairs.n[pairs.removed == 0.9]) == {0}  # no point removes so much
    assert set(table(files, "profiles").tasks) == {2}
    assert "Over 2 studies' tasks, of which 1 is different" in html.unescape(files["index.html"].decode())


def test_one_method_beside_dense_has_a_verdict_and_no_pairs(tmp_path):
    path, results = made_results(tmp_path, bad=0.0, seeds=5, methods=2)
    files = index.write_index([parts.Source(digest.read(load_study(str(path)), Store(results / "made")), "")])
    page = files["index.html"].decode()
    assert 'id="profiles"' in page
    assert "#pairs" not in page
    assert 'id="pairs"' not in page

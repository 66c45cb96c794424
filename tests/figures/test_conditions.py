"""Figures, tables and pages of conditions, against the records that they are made of."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmark.analysis import conditions as conditions_table
from benchmark.analysis import tables
from benchmark.analysis.frame import as_frame
from benchmark.cli.main import app
from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.figures import conditions as conditions_figures
from benchmark.figures.heatmap import draw_heatmap
from benchmark.paper.bundle import paper_files
from benchmark.site import conditions_charts as charts
from tests.experiment.test_conditions import FIGURES, load, together
from tests.support.made_records import result


def made_up(study):
    """A record for every trial, whose numbers say which label it is of: the third has 3 % of everything, and so on."""
    labels = list(study.tables)
    records = []
    for trial in study.trials():
        share = labels.index(trial.label) / 100
        sweep = {**dict.fromkeys(("1e-15", "1e-08", "1e-04", "1e-02"), share), "1e-01": 1.0}
        histogram = {f"{-20 + labels.index(trial.label)}.00": 3, "1.75": 1}
        own = {
            "threshold_sweep": sweep,
            "norm_histogram": histogram,
            "weight_sparsity": 0.99,
            "channel_sparsity": share,
            "never_active": share / 2,
        }
        records.append(result(trial, **own, test_accuracy=0.9 + share / 10, history={"silent": [0.5, share]}))
    return records


def test_every_mark_stands_where_its_label_says(tmp_path):
    study = load(tmp_path)
    records, labels = made_up(study), list(study.tables)
    single, crossed = levels_of(study, records)
    figure = draw_heatmap(study, crossed).figure
    panel = figure.axes[0]
    rows, columns = (
        [tick.get_text() for tick in ticks] for ticks in (panel.get_yticklabels(), panel.get_xticklabels())
    )
    colours = panel.collections[0].get_array().reshape(len(rows), len(columns))
    texts = {text.get_position(): text.get_text() for text in panel.texts}
    for (y, optimizer), (x, activation) in itertools.product(enumerate(rows), enumerate(columns)):
        place = labels.index(study.conditions.label(optimizer=optimizer, activation=activation))
        assert colours[y, x] == pytest.approx(place / 2)
        assert texts[x + 0.5, y + 0.5] == f"{place / 2:.0f} %\n{place} %\n({90 + place / 10:.1f})"
    figure = conditions_figures.draw_lines(single, conditions_figures.EPOCHS).figure
    for panel in titled(figure):
        for line, name in zip(panel.get_lines(), texts_of(panel.get_legend().get_texts()), strict=True):
            place = labels.index(study.conditions.label(**{panel.get_title(): name}))
            assert line.get_ydata().tolist() == pytest.approx([50, place])
    figure = conditions_figures.draw_histograms(single).figure
    for panel in titled(figure):
        for y, (name, patch) in enumerate(zip(texts_of(panel.get_yticklabels()), panel.patches, strict=True)):
            values, edges, baseline = patch.get_data()
            heights = values - baseline
            assert baseline == y
            place = labels.index(study.conditions.label(**{panel.get_title(): name}))
            assert edges[np.argmax(heights)] == -20 + place
            assert (edges[-1], heights[-1]) == (2.0, pytest.approx(0.3))  # a quarter of all is a third of the highest


def levels_of(study, records):
    """The records by level of one factor, and by levels of both crossed ones."""
    levels = conditions_table.by_level(study, records)
    single = {level: own for level, own in levels.items() if level[0] in study.conditions.factors}
    return single, {level: own for level, own in levels.items() if level not in single}


def test_the_heat_map_and_the_table_round_alike(tmp_path):
    """Both show the same digits, also where a mean lies between two of them."""
    study = load(tmp_path)
    accuracies = {0: 0.9, 1: 0.903}  # 100 × their mean is a little less than the mean of 100 × them
    records = [r.model_copy(update={"test_accuracy": accuracies[r.seed]}) for r in made_up(study)]
    _, crossed = levels_of(study, records)
    cells = draw_heatmap(study, crossed).points
    table = conditions_table.summarise(study, records)
    expected = table[table.factor == "optimizer × activation"]["test accuracy"]
    assert cells.accuracy.tolist() == [100 * interval.mean for interval in expected]
    tied = [r.model_copy(update={"test_accuracy": 0.8365}) for r in records]
    table = tables.texts(conditions_table.summarise(study, tied))
    assert set(table["test accuracy"]) == {"83.6 (2 of 2)"}
    _, crossed = levels_of(study, tied)
    drawing = draw_heatmap(study, crossed)
    assert {text.split("\n")[2] for text in texts_of(drawing.figure.axes[0].texts)} == {"(83.6)"}
    (trace,) = charts.heatmap(drawing.points, ("optimizer", "activation"))["data"]
    assert {text.split("<br>")[2] for row in trace["text"] for text in row} == {"(83.6)"}


def titled(figure):
    return [panel for panel in figure.axes if panel.get_title()]


def texts_of(artists):
    return [artist.get_text() for artist in artists]


def test_cells_tell_failures_from_what_was_not_run(tmp_path):
    study = load(tmp_path)
    every = made_up(study)
    lost, half, gone = "optimizer: sgd", "activation: tanh", "optimizer: sgd, activation: tanh"
    records = [
        failure_of(r) if r.label == lost or (r.label, r.seed) == (half, 1) else r for r in every if r.label != gone
    ]
    single, crossed = levels_of(study, records)
    drawing = draw_heatmap(study, crossed)
    texts = texts_of(drawing.figure.axes[0].texts)
    assert texts[1].endswith("n = 1\n1 failed")
    assert texts[2:] == ["2 failed", "–"]
    assert drawing.points.failed.tolist() == [0, 1, 2, 0]
    assert "n = 0 to 2 seeds (3 trials failed)" in conditions_figures.draw_histograms(single).caption


def failure_of(record):
    return record.model_copy(update={"status": "failed", "test_accuracy": None, "threshold_sweep": {}})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A conditions study that was run and drawn, with its records."""
    folder = tmp_path_factory.mktemp("conditions")
    study = load(folder)
    path = str(folder / "conditioned.toml")
    for command in (["run", path, "--in-process"], ["plot", path]):
        result = CliRunner().invoke(app, [*command, "--results", str(folder)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    results = folder / "conditioned"
    return study, own_records(study, Store(results).load()), results


@together
def test_the_table_has_a_row_for_each_level_with_the_records_own_numbers(made):
    study, records, results = made
    table = conditions_table.summarise(study, records)
    factors = ["control", "optimizer", "activation", "penalty", "batch size", "optimizer × activation"]
    assert list(table.factor.unique()) == factors
    assert len(table) == 1 + 2 + 2 + 2 + 1 + 4
    assert set(table.n) == {2}
    sgd = [r for r in records if r.label == "optimizer: sgd"]
    row = table[(table.factor == "optimizer") & (table.level == "sgd")].iloc[0]
    assert row["test accuracy"].mean == pytest.approx(np.mean([r.test_accuracy for r in sgd]))
    assert row["‖w‖ < 1e-1"].mean == pytest.approx(np.mean([r.threshold_sweep["1e-01"] for r in sgd]))
    assert row["never active"].mean == pytest.approx(np.mean([r.never_active for r in sgd]))
    unchanged = table[(table.factor == "activation") & (table.level == "relu")].iloc[0]
    assert unchanged["test accuracy"] == table[table.factor == "optimizer"].iloc[0]["test accuracy"]
    assert "± is half of the 95 % t interval over seeds" in (results / "table.md").read_text()


@together
def test_failed_trials_are_counted_and_give_no_numbers(made):
    study, records, _ = made
    failing = [
        r.model_copy(update={"status": "failed", "test_accuracy": None}) if r.label == "penalty: none" else r
        for r in records
    ]
    row = conditions_table.summarise(study, failing).set_index("level").loc["none"]
    assert (row.n, row.failed) == (0, 2)
    assert np.isnan(row["test accuracy"].mean)


@together
def test_every_figure_is_drawn_from_what_the_records_hold(made):
    _, records, results = made
    figures = results / "figures"
    assert {p.name for p in figures.iterdir()} == {
        f"conditions-{name}.{suffix}"
        for name in ("norms", "epochs", "thresholds", "heatmap")
        for suffix in ("png", "pdf", "svg", "csv")
    }
    heat = pd.read_csv(figures / "conditions-heatmap.csv").set_index(["optimizer", "activation"])
    both = [r for r in records if r.label == "optimizer: sgd, activation: tanh"]
    assert heat.loc[("sgd", "tanh"), "keys"] == " ".join(r.key[:12] for r in both)
    assert heat.loc[("sgd", "tanh"), "accuracy"] == pytest.approx(100 * np.mean([r.test_accuracy for r in both]))
    norms = pd.read_csv(figures / "conditions-norms.csv")
    assert norms.groupby(["factor", "level"]).share.sum().to_numpy() == pytest.approx(1)
    epochs = pd.read_csv(figures / "conditions-epochs.csv")
    assert set(epochs.x) == {1, 2, 3, 4}
    thresholds = pd.read_csv(figures / "conditions-thresholds.csv")
    one = thresholds[(thresholds.level == "sgd") & (thresholds.seed == 0)]
    mine = next(r for r in records if r.label == "optimizer: sgd" and r.seed == 0)
    assert set(one["keys"]) == {mine.key[:12]}
    assert one.y.to_numpy() == pytest.approx([100 * v for v in mine.threshold_sweep.values()])


@together
@pytest.mark.usefixtures("sketched")
def test_figures_are_drawn_where_conditions_have_no_record_yet(made):
    study, records, _ = made
    few = [r for r in records if r.label in ("steady", "optimizer: sgd") and r.seed == 0]
    drawn = {drawing.name.removeprefix("conditions-"): drawing for drawing in conditions_figures.draw(study, few)}
    assert set(drawn) == set(FIGURES)
    assert all(content for drawing in drawn.values() for content in drawing.files().values())
    assert drawn["heatmap"].points.n.sum() == 2
    alone = study.model_copy(update={"conditions": study.conditions.model_copy(update={"crossed": []})})
    assert len(conditions_figures.draw(alone, few)) == 3


@together
def test_norms_beyond_the_axis_are_in_the_end_bins(made):
    record = made[1][0].model_copy(
        update={"norm_histogram": {"-inf": 1, "-39.75": 2, "-20.00": 3, "1.75": 4, "7.00": 5}}
    )
    shares = conditions_figures._shares([record])
    assert shares[0] == pytest.approx(6 / 15)
    assert shares[-1] == pytest.approx(9 / 15)


@together
@pytest.mark.usefixtures("sketched")
def test_a_conditions_study_has_a_page_that_its_records_verify(made, tmp_path):
    _, _, results = made
    study = str(results.parent / "conditioned.toml")
    shutil.copytree(results, tmp_path / "results" / "conditioned")
    site = tmp_path / "site"
    for command in (
        ["publish", study, "--results", str(tmp_path / "results"), "--out", str(site)],
        ["verify", str(site)],
    ):
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    page = (site / "conditioned" / "index.html").read_text()
    assert "Conditions of sparsity" in page
    assert "Settings: 8, seeds: 2." in page
    assert page.count('<details class="card">') == 3  # dense, implicit and l1, not one for each setting
    assert "optimizer × activation" in page
    for name in ("heatmap", "norms", "epochs", "thresholds"):
        assert f"figures/conditions-{name}.svg" in page
        drawn = site / "conditioned" / "figures" / f"conditions-{name}.csv"
        assert drawn.read_bytes() == (results / "figures" / f"conditions-{name}.csv").read_bytes()
    assert "figures/conditions-heatmap.svg" in (site / "index.html").read_text()


@pytest.fixture(scope="module")
def paper(made):
    """The files for a paper, by name."""
    study, records, _ = made
    frame = as_frame(records, {label: study.legend(label) for label in study.tables})
    return paper_files(study, records, frame)


@together
def test_a_paper_takes_figures_tables_and_references(paper):
    figures = {f"conditions-{name}.{suffix}" for name in FIGURES for suffix in ("png", "pdf", "svg", "csv")}
    assert set(paper) == figures | {"figures.tex", "figures.json", "tables.tex", "tables.md", "references.bib"}
    latex = paper["tables.tex"].decode()
    assert latex.count(r"\begin{tabular}") == latex.count("n seeds") == 6
    assert "tanh" in latex
    assert "yaguchi2018adam" in paper["references.bib"].decode()
    environments = paper["figures.tex"].decode()
    assert [f"{{conditions-{name}.pdf}}" in environments for name in FIGURES] == [True] * 4
    assert environments.count("n = 2 seeds") == 4


@together
def test_every_mark_names_the_records_that_it_can_be_recomputed_from(made, paper):
    by_key = {record.key: record for record in made[1]}
    told = json.loads(paper["figures.json"].decode())
    marks = {name: told[f"conditions-{name}"]["marks"] for name in FIGURES}
    assert [len(marks[name]) for name in FIGURES] == [4, 7, 14, 14]
    for mark in marks["heatmap"]:
        mine = [by_key[key] for key in mark["keys"]]
        assert len(mine) == mark["n"] == 2
        assert mark["sparsity"] == pytest.approx(100 * np.mean([r.threshold_sweep["1e-15"] for r in mine]))
        assert {r.task.activation for r in mine} == {mark["activation"]}
    for mark in marks["norms"]:
        mine = [by_key[key] for key in mark["keys"]]
        assert mark["n"] == len(mine) == len({r.seed for r in mine}) == 2
        assert {r.label for r in mine} == {label_of(made[0], mark)}
        found = {edge: share for edge, share in zip(mark["log10 norm"], mark["share"], strict=True) if share}
        counts = Counter()
        for edge, count in (pair for record in mine for pair in record.norm_histogram.items()):
            counts[max(float(edge), -20.0)] += count
        assert found == {edge: pytest.approx(count / counts.total()) for edge, count in counts.items()}
    for name, values in (
        ("epochs", lambda r: r.history["silent"]),
        ("thresholds", lambda r: r.threshold_sweep.values()),
    ):
        for mark in marks[name]:
            (record,) = (by_key[key] for key in mark["keys"])
            assert (record.seed, record.label) == (mark["seed"], label_of(made[0], mark))
            assert mark["y"] == pytest.approx([100 * float(value) for value in values(record)], abs=1e-4)


def label_of(study, mark):
    return study.conditions.label(**{mark["factor"]: mark["level"]})

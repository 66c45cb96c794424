import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from typer.testing import CliRunner

from benchmark.analysis import tables
from benchmark.analysis.frame import as_frame
from benchmark.analysis.intervals import spread
from benchmark.analysis.summary import summarise
from benchmark.cli.main import app
from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.figures import pareto
from benchmark.site import chart_data, digest, pareto_chart, parts, sections
from benchmark.site.looks import method_looks
from benchmark.site.page import write_page
from tests.support.frames import DENSE, frame, rows
from tests.support.made_study import made_records, made_results, write_records


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def embedded(site, study="made"):
    html = (site / study / "index.html").read_text()
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])


def source(path, results):
    study = load_study(str(path))
    return parts.Source(digest.read(study, Store(results / study.name)), path.read_text())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published study with every picture drawn: its folder, with the study's file, results and site."""
    folder = tmp_path_factory.mktemp("drawn")
    path, results = made_results(folder)
    publish = ["publish", str(path), "--results", str(results), "--out", str(folder / "site")]
    assert CliRunner().invoke(app, publish, catch_exceptions=False).exit_code == 0
    return folder


@pytest.mark.xdist_group("published")
def test_two_runs_give_the_same_bytes_whatever_the_order_of_records(published, deadweight, tmp_path):
    path, results = made_results(tmp_path)
    records = results / "made" / "records.jsonl"
    records.write_text("".join(sorted(records.open())))
    assert deadweight("publish", path, "--out", "elsewhere/site")[0] == 0
    one, other = contents(published / "site"), contents(tmp_path / "elsewhere/site")
    assert one.keys() == other.keys()
    assert {name for name in one if one[name] != other[name]} == {"made/records.jsonl", "manifest.json"}
    drawn, again = contents(published / "results/made"), contents(results / "made")
    assert {name for name in drawn | again if drawn.get(name) != again.get(name)} == {"records.jsonl"}
    assert deadweight("verify", published / "site")[0] == 0
    assert not [*tmp_path.rglob(".deadweight-*"), *published.rglob(".deadweight-*")]


@pytest.mark.usefixtures("sketched")
def test_a_page_shows_what_the_records_say(deadweight, tmp_path):
    path, results = made_results(tmp_path, tasks=2)
    deadweight("publish", path)
    plan, store = load_study(str(path)), Store(results / "made")
    records = {r.key: r for r in own_records(plan, store.load())}
    shown = embedded(tmp_path / "site")["pareto"]
    keys = {key[:12]: key for key in records}
    for task, found in shown["tasks"].items():
        trials = found["trials"]
        assert (
            trials["count"]
            == len(trials["key"])
            == sum(r.status == "ok" and r.task.name == task for r in records.values())
        )
        for i, key in enumerate(trials["key"]):
            record = records[keys[key]]
            assert trials["y"][i] == pytest.approx(100 * record.test_accuracy, abs=1e-4)
            assert trials["x"]["mac_sparsity"][i] == pytest.approx(100 * record.mac_sparsity, abs=1e-4)
            assert json.loads(trials["texts"][trials["left"][i]]) == record.channels_left
            assert json.loads(trials["texts"][trials["hyperparameters"][i]]) == record.setting.hyperparameters
    table = pd.read_csv(tmp_path / "site/made/data/table.csv")
    titles = {label: plan.legend(label) for label in plan.methods}
    expected = tables.flatten(summarise(as_frame(list(records.values()), titles)))
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    failed = pd.read_csv(tmp_path / "site/made/data/failures.csv")
    assert failed.trials.sum() == sum(r.status == "failed" for r in records.values()) > 0


@pytest.mark.xdist_group("published")
def test_figures_of_the_results_are_those_of_plot(published, deadweight, tmp_path):
    path, results = made_results(tmp_path)
    assert deadweight("plot", path)[0] == 0
    drawn = contents(results / "made")
    assert len(drawn) > 12
    assert drawn == contents(published / "results/made")


def followed(results, content):
    key = Store(results / "made").load()[0].key[:8]
    pareto = results / "made" / "figures"
    pareto.mkdir(exist_ok=True)
    (pareto / f"trajectories-{key}.csv").write_text(content)
    return f"made/figures/trajectories-{key}"


@pytest.mark.usefixtures("sketched")
def test_runs_that_were_followed_are_on_the_page(deadweight, tmp_path):
    path, results = made_results(tmp_path)
    curves = "channel,last activation,step,run,alone\n3,2,1,0.5,\n3,2,2,0.25,0.25\n3,2,9,0.1,0.101\n"
    stem = followed(results, curves)
    (results / "made/figures/trajectories-00000000.csv").write_text("of no record")
    assert deadweight("publish", path)[0] == 0
    site = contents(tmp_path / "site")
    assert "1 channel; from its last activation on" in site["made/index.html"].decode()
    assert "within 1 % down to 1e-15" in site["made/index.html"].decode()
    assert site[f"{stem}.csv"].decode() == curves
    assert {name for name in site if "trajectories" in name} == {f"{stem}.csv", f"{stem}.svg"}
    assert deadweight("verify", "site")[0] == 0
    (tmp_path / "site" / f"{stem}.csv").write_text(curves.replace("0.101", "0.2"))
    out = deadweight("verify", "site")[1]
    assert f"{stem}.csv was changed" in out
    assert f"{stem}.svg differs" in out


@pytest.mark.usefixtures("sketched")
def test_a_broken_file_of_trajectories_is_named(deadweight, tmp_path):
    path, results = made_results(tmp_path)
    stem = followed(results, "channel,step\n1,2\n")
    code, _, err = deadweight("publish", path)
    assert (code, err.count("\n"), f"{Path(stem).name}.csv is not what" in err) == (2, 1, True)
    assert not (tmp_path / "site").exists()


@pytest.mark.usefixtures("sketched")
def test_text_from_records_never_becomes_markup(deadweight, tmp_path):
    path, _ = made_results(tmp_path, bad=0.3)
    path.write_text(
        path.read_text().replace("Method 0", "</script><b>Method</b> 0").replace("Made up", "<i>Made</i> up")
    )
    assert deadweight("publish", path)[0] == 0
    html = (tmp_path / "site/made/index.html").read_text()
    assert "made up &lt;b&gt;to fail&lt;/b&gt; &amp; be shown" in html
    for markup in ("<b>to fail", "<b>Method", "<i>Made"):
        assert markup not in html
    assert embedded(tmp_path / "site")["methods"][1]["title"] == "</script><b>Method</b> 0"


def test_every_chart_is_one_that_plotly_accepts(tmp_path):
    charts = [
        c for make in sections.SECTIONS for c in (make(source(*made_results(tmp_path))) or parts.Section("", "")).charts
    ]
    assert {chart.name for chart in charts} == {"epochs", "layers", "norms", "stability"}
    for chart in charts:
        assert chart.plots
        for plot in chart.plots.values():
            assert len(go.Figure(**plot).data) > 0


def test_old_and_new_records_can_be_shown(tmp_path):
    old, new = (source(*made_results(tmp_path / name, new=name == "new")) for name in ("old", "new"))
    for made in (old, new):
        assert list(sections.pareto(made).content["axes"]) == list(pareto.AXES)  # times taken beside others are no axis
        tidy = chart_data.norms(made.digest, made.thin)
        assert tidy.groupby(chart_data.POINT)["mean"].sum().to_numpy() == pytest.approx(1, abs=1e-6)


def test_stability_shows_each_points_mean_and_interval(tmp_path):
    made = source(*made_results(tmp_path, bad=0.0, seeds=6))
    tidy = chart_data.stability(made.points)
    assert set(tidy.label) == {"m0", "m1", "m2"}
    for row in tidy.itertuples():
        own = made.points[(made.points.label == row.label) & (made.points.place == row.place)]
        expected = spread(own[row.measure])
        assert (row.mean, row.low, row.high, row.n) == pytest.approx(
            (expected.mean, expected.low, expected.high, expected.n)
        )
    assert list(tidy.place[:4]) == [1, 2, 3, 4]


@pytest.mark.usefixtures("sketched")
def test_a_control_without_a_result_is_said_to_be_nowhere(tmp_path):
    made = source(*made_results(tmp_path, bad=0.0))
    assert "Grey: the dense control" in sections.pareto(made).texts[0]
    made.digest.frame = made.frame[made.frame.label != "dense"]
    assert "dense control" not in sections.pareto(made).texts[0]


@pytest.mark.usefixtures("sketched")
def test_a_method_that_is_handicapped_on_one_task_is_not_marked_on_all(tmp_path):
    made = source(*made_results(tmp_path, bad=0.0, tasks=2))
    frame = made.digest.frame
    frame.loc[(frame.label == "m0") & (frame.task == "simulated-mlp-16-8"), "val_accuracy"] = 0.5
    frame.loc[frame.label == "m1", "val_accuracy"] = 0.5
    titles = {look["label"]: look["title"] for look in sections.pareto(made).content["methods"]}
    assert titles["m0"] == "Method 0 (handicapped with mlp 16, 8 on simulated)"
    assert titles["m1"] == "Method 1 (handicapped)"
    assert titles["dense"] == "Dense"


def test_a_cause_that_no_record_says_is_not_made_up():
    bad = [rows(status, [(1, 0.9, 0.9, 0.9)], status=status)[0] | {"error": ""} for status in ("collapsed", "diverged")]
    causes = chart_data.failures(frame(bad)).set_index("status").cause
    assert causes.to_dict() == {"collapsed": "a layer lost all its channels; it keeps one", "diverged": "not said"}


def test_of_more_trials_than_are_drawn_each_knob_point_is_drawn(tmp_path, monkeypatch):
    made = source(*made_results(tmp_path, bad=0.0, points=4, seeds=30)).frame
    monkeypatch.setattr(pareto_chart, "DRAWN", len(made[made.label != "dense"]) // 4)  # every fourth: one point of four
    drawn = pareto_chart.pareto(made, pareto_chart.all_corners(made), {})["tasks"]["simulated-mlp-16-8"]["trials"]
    assert (drawn["count"], len(drawn["key"])) == (len(made), pareto_chart.DRAWN)
    shown = made[made.key.str[:12].isin(drawn["key"])]
    assert set(shown.hyperparameters) == set(made.hyperparameters)
    assert list(shown.key.str[:12]) == drawn["key"]


def test_the_line_to_beat_has_the_texts_colour_and_dashes():
    made = {look["label"]: look for look in method_looks(frame(DENSE, rows("scratch", [(1, 0.9, 0.9, 0.5)])))}
    assert (made["scratch"]["color"], made["scratch"]["dash"]) == ("currentColor", "dash")
    assert (made["dense"]["color"], made["dense"]["dash"]) == ("#808080", "solid")


def test_a_page_begins_with_the_rules_that_are_not_met(tmp_path):
    html = write_page(source(*made_results(tmp_path)))["index.html"].decode()
    first = html.index("Rules of a fair comparison that this study does not meet: Controls: dense, scratch, random")
    assert first < html.index("trials (") < html.index("Fairness checklist")


def test_a_seed_whose_channels_are_all_zero_counts_in_the_histogram(tmp_path):
    made = source(*made_results(tmp_path, bad=0.0))
    point = made.points[made.points.label == "m0"].iloc[0]
    made.digest.norms[point.key] = np.array([[-np.inf], [1.0]])
    tidy = chart_data.norms(made.digest, made.points)
    row = tidy[(tidy.label == "m0") & (tidy.place == point.place) & (tidy["lower edge"] == -np.inf)]
    assert row.n.item() == 3


def test_an_epoch_counts_from_the_end_of_a_history(tmp_path):
    made = source(*made_results(tmp_path, bad=0.0))
    whole = chart_data.epochs(made.digest, made.thin)
    key = made.frame.key[made.frame.label == "m0"].iloc[0]
    (record,) = (r for r in made.digest.records if r.key == key)
    for name, values in record.history.items():
        record.history[name] = values[40:]  # as where a base network was trained before
    point = made.points[made.points.key == key].iloc[0]
    cut = chart_data.epochs(made.digest, made.thin)
    for tidy, n in ((whole, 3), (cut, 2)):
        row = tidy[(tidy.label == "m0") & (tidy.place == point.place) & (tidy.measure == "silent")]
        assert row[row.epoch == 40].n.item() == n
        assert row[row.epoch == 41].n.item() == 3


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize(
    "choose",
    [
        lambda rs: rs[:1],
        lambda rs: [r for r in rs if r.status == "failed"],
        lambda rs: [r for r in rs if r.label != "m0" or r.seed == 0],
        lambda rs: [r for r in rs if r.label != "dense"],
        lambda rs: [rs[0], *(r.model_copy(update={"schema_version": 9}) for r in rs[1:])],
    ],
    ids=["one record", "only failures", "a method with one seed", "no dense", "two schemas"],
)
def test_any_records_can_be_published_and_verified(deadweight, tmp_path, choose):
    path, results = made_results(tmp_path, bad=0.2)
    records = choose(made_records(load_study(str(path)), bad=0.2))
    write_records(records, results / "made" / "records.jsonl")
    assert deadweight("publish", path)[0] == 0
    assert deadweight("verify", "site")[0] == 0
    if records[-1].schema_version == 9:
        assert f"{len(records) - 1} of schema 9, not 1" in (tmp_path / "site/made/index.html").read_text()


@pytest.mark.usefixtures("sketched")
def test_what_a_study_lacks_is_said_wherever_its_numbers_go(deadweight, tmp_path):
    path, results = made_results(tmp_path, bad=0.0)
    records = [r for r in made_records(load_study(str(path)), bad=0.0) if r.label != "m1"]
    write_records(records, results / "made" / "records.jsonl")
    assert deadweight("publish", path)[0] == 0
    lacking = "12 of 39 trials have no record yet (Method 1 12)"
    told = contents(tmp_path / "site") | contents(results)
    names = [name for name in told if name.endswith((".tex", ".md", "index.html", "figures.json")) and "/" in name]
    assert len(names) == 6
    for name in names:
        assert lacking in told[name].decode(), name
    assert "None: all 27 trials that have a record ended well." in told["made/index.html"].decode()

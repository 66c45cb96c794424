import csv
import io
import json
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.experiment.study import load_study
from benchmark.figures.pareto import draw_pareto
from benchmark.figures.style import PRINT
from benchmark.paper.bundle import paper_files
from tests.conftest import TINY
from tests.support.frames import DENSE, frame, rows
from tests.support.made_records import make_frame, make_records

TASK = "simulated-mlp-8"


pytestmark = pytest.mark.xdist_group("paper")  # they share what was written


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "tiny.toml"
    path.write_text(TINY)
    return load_study(str(path))


@pytest.fixture(scope="module")
def paper(study):
    """The files by name, and the records."""
    records = make_records(study)
    return paper_files(study, records, make_frame(study, records)), records


def test_everything_is_made_and_nothing_else(paper):
    made, _ = paper
    stems = (f"pareto-{TASK}-param", f"thresholds-{TASK}")
    figures = {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf", "svg", "csv")}
    texts = {"figures.tex", "figures.json", "references.bib", f"table-{TASK}.tex", f"table-{TASK}.md"}
    assert set(made) == figures | texts


def test_the_same_records_in_another_order_give_the_same_bytes(study, paper):
    made, records = paper
    again = paper_files(study, records[::-1], make_frame(study, records[::-1]))
    assert again.keys() == made.keys()
    for name, content in again.items():
        assert content == made[name], name


def test_figures_are_as_wide_as_a_column_and_embed_their_font(paper):
    made, _ = paper
    with Image.open(io.BytesIO(made[f"pareto-{TASK}-param.png"])) as image:
        assert image.width == 300 * 3.3
    pdf = made[f"pareto-{TASK}-param.pdf"]
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_every_mark_can_be_recomputed_from_its_records(paper):
    made, records = paper
    told = json.loads(made["figures.json"].decode())
    by_key = {r.key: r for r in records}
    pareto = told[f"pareto-{TASK}-param"]
    for mark in pareto["marks"]:
        mine = [by_key[key] for key in mark["keys"]]
        assert {r.label for r in mine} == {mark["label"]}
        assert mark["x"] == 100 * min(r.param_sparsity for r in mine)
        assert mark["y"] == 100 * min(r.test_accuracy for r in mine)
    assert {m["keys"][0] for m in pareto["marks"] if m["mark"] == "trial"} == set(by_key)
    assert {m["mark"] for m in pareto["marks"]} == {"trial", "attained by all", "attained by half", "attained by one"}
    for curve in told[f"thresholds-{TASK}"]["marks"]:
        shares = np.array([list(by_key[key].threshold_sweep.values()) for key in curve["keys"]])
        assert curve["y"] == pytest.approx(100 * shares.mean(axis=0))
        assert curve["low"] == pytest.approx(100 * shares.min(axis=0))
        assert curve["high"] == pytest.approx(100 * shares.max(axis=0))


def test_the_dense_band_is_the_range_of_two_records(paper):
    made, records = paper
    band = json.loads(made["figures.json"].decode())[f"pareto-{TASK}-param"]["dense"]
    values = [100 * r.test_accuracy for r in records if r.key in band["keys"]]
    assert band["n"] == len(values) == 2
    assert (band["low"], band["high"]) == pytest.approx((min(values), max(values)))
    assert band["mean"] == pytest.approx(np.mean(values))


def test_the_csv_holds_every_mark_with_its_keys(paper):
    made, _ = paper
    marks = json.loads(made["figures.json"].decode())[f"pareto-{TASK}-param"]["marks"]
    held = list(csv.DictReader(made[f"pareto-{TASK}-param.csv"].decode().splitlines()))
    assert [row["key"].split() for row in held] == [mark["keys"] for mark in marks]


def test_tables_and_captions_say_n_and_the_interval(paper):
    made, _ = paper
    for name in (f"table-{TASK}.tex", f"table-{TASK}.md"):
        text = made[name].decode()
        assert "n = 2 seeds" in text
        assert "t interval over seeds" in text
        assert "Adam + L2 (implicit)" in text
    figures = made["figures.tex"].decode()
    assert figures.count(r"\includegraphics") == figures.count(r"\end{figure") == 2
    assert figures.count("n = 2") == 2
    assert r"\begin{figure}" + "\n\\centering\n\\includegraphics{pareto-" in figures


def test_the_bibliography_is_that_of_the_methods_shown(paper):
    made, _ = paper
    text = made["references.bib"].decode()
    assert [line for line in text.splitlines() if line.startswith("@")] == [
        "@inproceedings{li2017pruning,",
        "@inproceedings{yaguchi2018adam,",
    ]


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("fails", [["dense"], ["implicit"], ["dense", "implicit", "magnitude_filter"]])
def test_failed_trials_leave_valid_files(study, fails):
    records = make_records(study, fails)
    made = paper_files(study, records, make_frame(study, records))
    told = json.loads(made["figures.json"].decode(), parse_constant=pytest.fail)
    keys = {key for figure in told.values() for mark in figure["marks"] for key in mark["keys"]}
    assert keys == {r.key for r in records if r.status == "ok"}
    if "dense" in fails:
        assert told[f"pareto-{TASK}-param"]["dense"] == {"mean": None, "low": None, "high": None, "n": 0, "keys": []}


def long_named(count):
    made = frame(DENSE, *[rows(f"m{i}", [(1, 0.96, 0.91, 0.1), (2, 0.9, 0.10, 0.9)]) for i in range(count)])
    lost = frame(*[rows(f"m{i}", [(3, *3 * [np.nan])], status="failed") for i in range(count)])
    made = pd.concat([made, lost.assign(key="k")], ignore_index=True)
    return made.assign(title=made.title.where(made.label == "dense", "Regularised growing " + made.label))


@pytest.mark.parametrize(("count", "width"), [(9, PRINT.one), (14, PRINT.many)])
def test_legends_and_titles_fit_at_one_font_size(count, width):
    with mpl.rc_context(PRINT.settings):
        figure = draw_pareto(long_named(count), "param_sparsity", "", PRINT).figure
        figure.draw_without_rendering()
    assert figure.get_figwidth() == width
    size = figure.bbox
    boxes = [legend.get_window_extent() for legend in figure.legends]
    titles = [panel.title.get_window_extent() for panel in figure.axes if panel.get_title()]
    assert boxes
    for box in boxes + titles:
        assert size.x0 <= box.x0 < box.x1 <= size.x1
        assert size.y0 <= box.y0 < box.y1 <= size.y1
    for one, other in pairwise(titles):
        assert not one.overlaps(other)
    assert all(panel.get_window_extent().height > 0.1 * figure.dpi for panel in figure.axes if panel.axison)

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark.analysis import tables
from benchmark.analysis.frame import as_frame, controls
from benchmark.analysis.intervals import Interval
from benchmark.analysis.summary import NOTHING, summarise
from benchmark.experiment.study import load_study
from tests.support.frames import DENSE, NAN, frame, rows
from tests.support.made_study import made_records, made_study

METHOD = [
    *rows("m", [(1, 0.96, 0.91, 0.1), (2, 0.952, 0.90, 0.5), (3, 0.94, 0.99, 0.9)], seed=0),
    *rows("m", [(1, 0.96, 0.93, 0.1), (2, 0.952, 0.88, 0.7), (3, 0.90, 0.50, 0.9)], seed=1),
]


def row(summary, title):
    return summary[summary.method == title].iloc[0]


def test_summary_chooses_on_validation_and_reports_sparsity():
    summary = summarise(frame(DENSE, METHOD))
    m = row(summary, "M")
    assert m["within 1"].mean == pytest.approx((0.5 + 0.7) / 2)  # 0.952 validates at dense's 0.96 − 0.01, 0.94 does not
    assert m["within 2"].mean == pytest.approx((0.9 + 0.7) / 2)  # the second seed's 0.9 validates at 0.90 only
    assert m["within 1"].n == 2
    assert m["best accuracy"].mean == pytest.approx(0.92)  # test accuracy where validation is best
    assert m["largest drop"].mean == pytest.approx((0.01 + 0.38) / 2)


def test_a_seed_that_reaches_nothing_counts_as_zero():
    poor = rows("m", [(1, 0.96, 0.9, 0.0), (2, NAN, NAN, NAN)], seed=2)
    poor[1]["status"] = "failed"
    m = row(summarise(frame(DENSE, METHOD, poor)), "M")
    assert m["within 1"].mean == pytest.approx((0.5 + 0.7 + 0) / 3)
    assert m["failed"] == 1
    assert m["trials"] == 8


def test_a_seed_without_a_result_counts_as_zero_and_is_told():
    lost = rows("m", [(1, NAN, NAN, NAN), (2, NAN, NAN, NAN), (3, NAN, NAN, NAN)], seed=2, status="failed")
    summary = summarise(frame(DENSE, METHOD, lost))
    m, before = row(summary, "M"), row(summarise(frame(DENSE, METHOD)), "M")
    assert m["within 1"].mean == pytest.approx((0.5 + 0.7 + 0) / 3)
    assert m["hypervolume"].mean == pytest.approx(2 / 3 * before["hypervolume"].mean)
    assert (m["seeds"], m["best accuracy"].n, m["largest drop"].n) == (3, 2, 2)
    assert row(tables.texts(summary), "M")["best accuracy"] == "92.0 (91.0 to 93.0; 2 of 3)"


def test_a_tuned_control_is_the_sample_that_validates_best():
    worse = rows("dense", [(NAN, 0.5, 0.99, 0.0)], seed=0)
    control = controls(frame(worse, DENSE))
    assert sorted(control.test_accuracy) == [0.94, 0.96]
    assert row(summarise(frame(worse, DENSE, METHOD)), "M")["within 1"].mean == pytest.approx(0.6)


def test_tables_and_figures_do_not_depend_on_the_order_of_records(tmp_path):
    plan = load_study(str(made_study(tmp_path, methods=5)))
    records = made_records(plan)
    titles = {label: plan.legend(label) for label in plan.methods}
    forwards, backwards = as_frame(records, titles), as_frame(records[::-1], titles)
    assert forwards.equals(backwards)
    assert list(forwards.label.unique()) == list(plan.methods)
    assert summarise(forwards).equals(summarise(backwards))


def test_of_points_that_validate_alike_the_smaller_network_is_best():
    alike = rows("m", [(1, 0.96, 0.91, 0.1), (2, 0.96, 0.90, 0.5), (3, 0.94, 0.99, 0.9)])
    assert row(summarise(frame(DENSE, alike)), "M")["best accuracy"].mean == pytest.approx(0.90)


def test_without_dense_or_results_there_is_no_comparison():
    assert row(summarise(frame(METHOD)), "M")["within 1"].n == 0
    nothing = summarise(frame(DENSE, rows("m", [(1, NAN, NAN, NAN)], status="failed")))
    m = row(nothing, "M")
    assert m["best accuracy"].n == 0
    assert (m["hypervolume"].mean, m["within 2"].mean) == (0, 0)


SUMMARY = pd.DataFrame(
    {
        "task": ["t", "t", "a"],
        "method": ["Dense", "M", "M"],
        "seeds": [5, 5, 5],
        "best accuracy": [Interval(0.9, 0.8, 1.0, 5), Interval(0.85, NAN, NAN, 1, False), NOTHING],
        "hypervolume": [NOTHING, Interval(0.5, 0.375, 0.625, 2, False), Interval(0.25, 0.125, 0.375, 5)],
        "within 1, on test": [NOTHING, Interval(-0.01, -0.02, 0.01, 5, False), NOTHING],
        "slope": [NOTHING, Interval(0.0123, 0.01, 0.0146, 5), NOTHING],
    },
    index=[4, 7, 9],
)
MARKDOWN = """\
| task | method | seeds | best accuracy | hypervolume | within 1, on test | slope |
| --- | --- | --- | --- | --- | --- | --- |
| t | Dense | 5 | 90.0 ± 10.0 | – | – | – |
| t | M | 5 | 85.0 (1 of 5) | 0.500 (0.375 to 0.625; 2 of 5) | -1.0 (-2.0 to +1.0) | 1.23 ± 0.23 |
| a | M | 5 | – | 0.250 ± 0.125 | – | – |
"""


def test_a_cell_says_mean_interval_and_n_where_it_is_not_all():
    assert tables.to_markdown(SUMMARY) == MARKDOWN
    assert list(tables.texts(SUMMARY).index) == [4, 7, 9]
    assert set(tables.texts(SUMMARY).dtypes) == {np.dtype(object)}


def test_a_bar_in_a_title_does_not_end_its_cell():
    line = tables.to_markdown(SUMMARY.assign(method="one | other")).splitlines()[2]
    assert line == r"| t | one \| other | 5 | 90.0 ± 10.0 | – | – | – |"


def test_without_a_column_of_seeds_a_cell_says_only_its_own_n():
    bare = SUMMARY.drop(columns="seeds")
    assert list(tables.texts(bare)["best accuracy"]) == ["90.0 ± 10.0", "85.0 (1 of 1)", "–"]
    assert len(tables.texts(bare.head(0))) == 0


def test_a_flat_summary_has_a_column_for_each_part_of_an_interval():
    flat = tables.flatten(SUMMARY)
    names = ("best accuracy", "hypervolume", "within 1, on test", "slope")
    parts = [f"{name} {part}" for name in names for part in ("mean", "low", "high", "n", "ends")]
    assert list(flat) == ["task", "method", "seeds", *parts]
    assert flat.loc[4, parts[:5]].tolist() == [0.9, 0.8, 1.0, 5, "95 % t interval"]
    assert flat.loc[7, parts[5:10]].tolist() == [0.5, 0.375, 0.625, 2, "range of seeds"]


def test_tables_are_written_as_markdown_with_the_note_and_as_csv(tmp_path):
    made = tables.write(SUMMARY, tmp_path, "A note.")
    assert [path.name for path in made] == ["table.md", "table.csv"]
    assert made[0].read_text() == f"{MARKDOWN}\nA note.\n"
    assert made[1].read_bytes().decode() == tables.flatten(SUMMARY).to_csv(index=False, lineterminator="\n")
    assert made[1].read_bytes().count(b"\n") == 4
    assert sorted(tmp_path.iterdir()) == sorted(made)


def test_a_summary_is_shown_as_a_table_for_each_task_with_the_note():
    console = Console(width=100, file=io.StringIO(), force_terminal=False)
    tables.show(SUMMARY[["task", "method", "seeds", "best accuracy", "hypervolume"]], console, "A note.")
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert [line.strip() for line in lines] == [
        "t",
        "method  seeds  best accuracy                     hypervolume",
        "Dense       5    90.0 ± 10.0                               –",
        "M           5  85.0 (1 of 5)  0.500 (0.375 to 0.625; 2 of 5)",
        "a",
        "method  seeds  best accuracy    hypervolume",
        "M           5              –  0.250 ± 0.125",
        "A note.",
    ]


def test_a_long_cell_is_folded_and_not_cut():
    console = Console(width=40, file=io.StringIO(), force_terminal=False)
    tables.show(SUMMARY[["task", "method", "hypervolume"]].assign(method="R" * 100), console, "A note.")
    text = console.file.getvalue()
    assert text.count("R") == 300
    assert "…" not in text


def test_the_note_is_dim():
    console = Console(width=100, file=io.StringIO(), force_terminal=True, color_system="standard")
    tables.show(SUMMARY, console, "A note.")
    assert "\x1b[2mA note.\x1b[0m" in console.file.getvalue()

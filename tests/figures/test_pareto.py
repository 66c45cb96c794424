import csv

import matplotlib as mpl
import pytest
from matplotlib.collections import PathCollection
from matplotlib.text import Text

from benchmark.figures import pareto, style
from benchmark.method.registry import registry
from tests.support.frames import DENSE, NAN, frame, rows

METHOD = [
    *rows("m", [(1, 0.96, 0.91, 0.1), (2, 0.95, 0.90, 0.5), (3, 0.94, 0.10, 0.9)], seed=0),
    *rows("m", [(1, 0.96, 0.93, 0.1), (2, 0.95, 0.88, 0.7), (3, 0.90, 0.50, 0.9)], seed=1),
]
FAILED = rows("bad", [(1, NAN, NAN, NAN)], status="failed") + rows("bad", [(2, 0.1, 0.1, 0.99)], status="collapsed")


def draw(records, kind="param_sparsity"):
    drawing = pareto.draw_pareto(records, kind, "title")
    return drawing.figure, drawing.points


def write_all(records, folder):
    return [path for drawing in pareto.draw_all(records, {"t": "title"}) for path in drawing.write(folder)]


def test_every_trial_is_a_mark_with_its_key():
    records = frame(DENSE, METHOD, FAILED)
    _, marks = draw(records)
    trials = marks[marks.mark == "trial"]
    assert set(trials.key) == set(records.key[records.status != "failed"])
    assert sorted(trials[trials.label == "m"].y) == pytest.approx([10, 50, 88, 90, 91, 93])


def test_the_front_is_chosen_on_validation_and_drawn_on_test():
    # the second point is better on test and worse on validation: it is drawn as a trial, and is on no front
    records = frame(DENSE, rows("m", [(1, 0.9, 0.8, 0.5), (2, 0.8, 0.9, 0.5)]))
    _, marks = draw(records)
    assert marks[marks.mark == "attained by half"][["x", "y"]].to_numpy().tolist() == [[50.0, 80.0]]


def test_failures_are_counted_in_the_legend():
    figure, _ = draw(frame(DENSE, METHOD, FAILED))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "Bad\n(1 collapsed, 1 failed of 2)" in texts
    assert "M" in texts
    assert any(text.startswith("Dense") for text in texts)


def test_failures_of_the_dense_control_are_in_the_caption():
    assert "mean and range of seeds." in pareto.caption(frame(DENSE, METHOD))
    lost = rows("dense", [(0, NAN, NAN, NAN)], status="failed")
    assert "No dense control with a result (1 failed of 1)." in pareto.caption(frame(lost, METHOD))
    assert "band: dense" not in pareto.caption(frame(METHOD))
    both = frame(DENSE, lost, METHOD)
    assert f"range of seeds (1 failed of {len(DENSE) + 1})." in pareto.caption(both)


SCRATCH = [row for seed in (0, 1) for row in rows("scratch", [(1, 0.95, 0.9, 0.3), (2, 0.9, 0.85, 0.8)], seed=seed)]


def black_dashes(panel):
    return [line for line in panel.get_lines() if (line.get_color(), line.get_linestyle()) == ((0.0, 0.0, 0.0), "--")]


def test_in_print_a_dense_control_without_a_result_is_no_mark_of_the_legend():
    def words(*parts):
        figure = pareto.draw_pareto(frame(*parts), "param_sparsity", "", style.PRINT).figure
        [legend] = figure.legends
        return " ".join(text.get_text() for text in [legend.get_title(), *legend.get_texts()])

    many = [rows(f"m{i}", [(1, 0.96, 0.91, 0.1), (2, 0.9, 0.10, 0.9)]) for i in range(12)]
    for parts in ([METHOD], many):
        assert "dense, range of seeds" in words(DENSE, *parts)
        assert "dense" not in words(*parts)


def test_a_title_is_shown_letter_by_letter_in_legend_and_panels():
    for count in (2, 12):
        many = frame(DENSE, *(rows(f"m{i}", [(1, 0.96, 0.91, 0.1)]) for i in range(count)))
        figure, _ = draw(many.assign(title=many.title.replace({"M0": "_own at $5 and $6", "M1": r"$\frac$"})))
        figure.draw_without_rendering()  # raises where it is taken for mathematics that is none
        texts = figure.findobj(Text)
        assert {r" _own at \$5 and \$6", r"\$\frac\$"} <= {text.get_text() for text in texts}


def test_scratch_is_the_line_to_beat_black_and_dashed_and_above_the_others():
    figure, _ = draw(frame(DENSE, SCRATCH, METHOD))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:2] == ["Dense", "Scratch"]
    [line] = black_dashes(figure.axes[0])
    assert line.get_zorder() > max(other.get_zorder() for other in figure.axes[0].get_lines() if other is not line)
    assert "Black dashed line: from scratch, the line to beat." in pareto.caption(frame(DENSE, SCRATCH, METHOD))
    assert "line to beat" not in pareto.caption(frame(DENSE, METHOD))


def test_the_line_to_beat_is_in_the_panel_of_every_method():
    many = [rows(f"m{i}", [(1, 0.96, 0.91, 0.1), (2, 0.9, 0.10, 0.9)]) for i in range(11)]
    figure, _ = draw(frame(DENSE, SCRATCH, *many))
    assert all(black_dashes(panel) for panel in figure.axes if panel.axison)


def test_a_handicapped_method_is_marked_in_legend_points_and_caption():
    low = rows("low", [(1, 0.9, 0.91, 0.1), (2, 0.96, 0.90, 0.5)])
    figure, marks = draw(frame(DENSE, METHOD, low))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "Low (handicapped)" in texts
    assert "M" in texts
    assert set(marks.title[marks.label == "low"]) == {"Low (handicapped)"}
    assert "handicapped: the weakest knob point" in pareto.caption(frame(DENSE, METHOD, low))


def test_axes_have_labels_with_units():
    for kind, label in pareto.AXES.items():
        figure, _ = draw(frame(DENSE, METHOD), kind)
        assert figure.get_supxlabel() == label
        assert "(%)" in label
        assert figure.get_supylabel() == "test accuracy (%)"


def test_points_far_below_dense_stay_visible():
    figure, _ = draw(frame(DENSE, METHOD))
    main, below = figure.axes
    assert below.get_ylim()[0] <= 10
    assert below.get_ylim()[1] == main.get_ylim()[0]


def test_many_methods_have_a_panel_each_and_low_points_stay_visible():
    many = [rows(f"m{i}", [(1, 0.96, 0.91, 0.1), (2, 0.9, 0.10, 0.9)]) for i in range(12)]
    figure, marks = draw(frame(DENSE, *many))
    panels = [panel for panel in figure.axes if panel.axison]
    assert [panel.get_title() for panel in panels] == [f"M{i}" for i in range(12)]
    with_numbers = [panel.get_title() for panel in panels if panel.xaxis.get_tick_params()["labelbottom"]]
    assert with_numbers == [f"M{i}" for i in range(7, 12)]  # the lowest of each of five columns
    assert (marks.mark == "trial").sum() == 12 * 2 + len(DENSE)
    for panel in panels:
        triangles = panel.collections[-1].get_offsets()
        assert triangles[:, 0].tolist() == [90.0]
        assert panel.get_ylim()[0] < triangles[0, 1]


def test_a_broken_axis_is_marked_and_a_marker_is_in_the_panel_of_its_accuracy():
    figure, _ = draw(frame(DENSE, METHOD))
    main, below = figure.axes
    assert not main.spines.bottom.get_visible()
    slashes = [line for panel in figure.axes for line in panel.get_lines() if line.get_transform() == panel.transAxes]
    assert [line.get_xydata().tolist() for line in slashes] == [[[0, 0]], [[0, 1]]]
    shown = [sorted(y for dots in panel.collections for y in _dots(dots)) for panel in (main, below)]
    assert shown == [pytest.approx([88, 90, 91, 93]), pytest.approx([10, 50])]
    assert not any(dots.get_clip_on() for panel in figure.axes for dots in panel.collections if _dots(dots))
    assert len(draw(frame(DENSE, METHOD[:2]))[0].axes) == 1  # and none where nothing is below


def _dots(collection):
    return collection.get_offsets()[:, 1].tolist() if isinstance(collection, PathCollection) else []


@pytest.mark.parametrize(
    "records",
    [frame(DENSE), frame(METHOD), frame(METHOD[:1]), frame(FAILED), frame(FAILED[:1]), frame(DENSE[:1], METHOD[:3])],
    ids=["dense", "no dense", "one record", "bad", "only failed", "one seed"],
)
def test_any_records_can_be_drawn(records, tmp_path, monkeypatch):
    monkeypatch.setattr(pareto, "AXES", {"param_sparsity": "parameters"})  # the other axes show other columns alike
    made = write_all(records, tmp_path)
    assert len(made) == 4
    assert all(path.stat().st_size > 0 for path in made)


def test_files_hold_the_points_and_repeat_byte_by_byte(tmp_path):
    records = frame(DENSE, METHOD)
    first, second = (write_all(records, tmp_path / name) for name in "ab")
    assert len(first) == 4 * 4
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    with next(p for p in first if p.suffix == ".csv").open() as file:
        assert sum(row["mark"] == "trial" for row in csv.DictReader(file)) == len(records)


def test_colours_of_methods_can_be_told_from_a_light_and_a_dark_page():
    def luminance(color):
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in style.METHOD_COLORS:
        on_white, on_dark = 1.05 / (luminance(color) + 0.05), (luminance(color) + 0.05) / 0.056
        assert on_white > 2, color
        assert on_dark > 3, color


def test_in_one_chart_no_colour_and_no_marker_comes_twice_until_all_are_used():
    optimisers = ["implicit", "rmsprop", "adamw", "momentum", "sgd"]  # of which two have the same colour by themselves
    assert len({style.style(label)[0] for label in optimisers}) < len(optimisers)
    for labels in (optimisers, list(style.ORDER[10:20]), [f"own {i}" for i in range(len(style.METHOD_COLORS))]):
        made = style.looks(labels)
        assert len({color for color, _ in made.values()}) == len({marker for _, marker in made.values()}) == len(labels)
    many = [f"own {i}" for i in range(60)] + list(style.ORDER)
    assert len(set(style.looks(many).values())) == len(many)
    main = list(style.ORDER[:10])
    assert style.looks([*optimisers, *main]) | {k: style.style(k) for k in main} == style.looks([*optimisers, *main])


def test_styles_are_stable_and_distinct():
    labels = [*registry().methods, "somebody_elses"]
    styles = {label: style.style(label) for label in labels if label != "dense"}
    assert len(set(styles.values())) == len(styles)
    assert style.style("implicit") == (mpl.colors.to_rgb("#0173b2"), "o")
    red, green, blue = style.style("random_filter")[0]
    assert red == green == blue

import pytest

from benchmark.experiment.study import load_study
from benchmark.figures.thresholds import COLORMAP, draw_thresholds
from tests.support.made_records import SWEEP, make_records
from tests.support.made_study import made_records, made_study


@pytest.fixture
def study(tiny):
    return load_study(str(tiny))


def panels(figure):
    return {panel.get_title().split("\n")[0]: panel for panel in figure.axes if panel.get_title()}


def test_curves_are_the_mean_and_the_ends_over_seeds(study):
    records = make_records(study)
    [drawing] = draw_thresholds(study, records)
    assert drawing.name == "thresholds-simulated-mlp-8"
    curves = drawing.points
    for row in curves.itertuples():
        mine = [r for r in records if r.key in row.key.split()]
        [text] = [t for t in SWEEP if float(t) == row.threshold]
        shares = [100 * r.threshold_sweep[text] for r in mine]
        assert {r.seed for r in mine} == {0, 1}
        assert len({r.setting.model_dump_json() for r in mine}) == 1
        assert row.n == 2
        assert (row.low, row.high) == (min(shares), max(shares))
        assert row.mean == pytest.approx(sum(shares) / 2)
    assert len(curves) == 2 * len(SWEEP)


def test_a_method_has_a_panel_if_it_brings_a_channel_near_zero_and_else_a_mention(study):
    [drawing] = draw_thresholds(study, make_records(study))
    assert list(panels(drawing.figure)) == ["Adam + L2 (implicit)"]
    assert drawing.caption.endswith("Not shown, no channel below 0.01: Dense, Filter magnitude + fine-tune.")
    assert "n = 2" in drawing.caption


def test_of_a_method_without_a_record_nothing_is_said_but_that(study):
    records = [r for r in make_records(study) if r.label != "magnitude_filter"]
    [drawing] = draw_thresholds(study, records)
    words = (
        "no channel below 0.01: Dense. Unfinished: 4 of 10 trials have no record yet (Filter magnitude + fine-tune 4)."
    )
    assert words in drawing.caption


def test_lines_go_from_the_smallest_knobs_colour_to_the_largest_ones(study):
    [drawing] = draw_thresholds(study, make_records(study)[::-1])
    figure, curves = drawing.figure, drawing.points
    panel = panels(figure)["Adam + L2 (implicit)"]
    assert panel.get_title().endswith("\nstrength 0.001 to 0.1")
    weak, strong = panel.get_lines()
    assert (weak.get_color(), strong.get_color()) == (COLORMAP(0.0), COLORMAP(1.0))
    assert list(strong.get_ydata()) == list(curves["mean"][curves.knob == 0.1])
    assert panel.get_xscale() == "log"
    assert figure.get_supxlabel() == "threshold ξ"
    assert figure.get_supylabel().endswith("(%)")


def test_seeds_that_failed_lower_n(study):
    records = make_records(study)
    lost = next(r for r in records if r.label == "implicit")
    failed = lost.model_copy(update={"status": "failed", "threshold_sweep": {}})
    [drawing] = draw_thresholds(study, [failed if r is lost else r for r in records])
    assert sorted(set(drawing.points.n)) == [1, 2]
    assert lost.key not in " ".join(drawing.points.key)
    assert "n = 1 to 2" in drawing.caption


def test_of_records_that_counted_other_thresholds_those_that_all_counted_are_drawn(study):
    records = make_records(study)
    fewer = [r.model_copy(update={"threshold_sweep": {k: r.threshold_sweep[k] for k in SWEEP[:3]}}) for r in records]
    mixed = [few if few.seed else r for few, r in zip(fewer, records, strict=True)]
    [drawing] = draw_thresholds(study, mixed)
    assert sorted(set(drawing.points.threshold)) == sorted(float(threshold) for threshold in SWEEP[:3])
    assert set(drawing.points.n) == {2}


def test_without_a_channel_near_zero_there_is_no_figure(study):
    assert draw_thresholds(study, [r for r in make_records(study) if r.label != "implicit"]) == []
    assert draw_thresholds(study, make_records(study, fails=study.methods)) == []
    assert draw_thresholds(study, []) == []


def test_files_repeat_byte_by_byte(study):
    [first], [second] = (draw_thresholds(study, make_records(study)[::step]) for step in (1, -1))
    assert first.files() == second.files()


def test_a_title_holds_no_slug_of_a_task(tmp_path):
    path = made_study(tmp_path, tasks=1)
    assert list(load_study(str(path)).headings.values()) == ["Made up"]
    path.write_text(
        path.read_text() + '[[tasks]]\ndataset = "simulated"\nnetwork = "mlp"\nwidths = [8]\nnorm = "none"\n'
    )
    study = load_study(str(path))
    drawn = draw_thresholds(study, made_records(study, bad=0.0))
    titles = [drawing.figure.get_suptitle() for drawing in drawn]
    assert titles == ["Made up: mlp 16, 8 on simulated", "Made up: mlp 8 on simulated (norm none)"]

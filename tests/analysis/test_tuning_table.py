"""What tuning tried and chose, in the table, in a study's results and on its page."""

import pytest

from benchmark.analysis import tuning
from benchmark.analysis.tuning_table import tuning_table
from benchmark.experiment.coverage import own_records
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.figures.draw import draw
from benchmark.site import digest, parts, sections
from tests.support.made_study import write_records
from tests.support.tuned_study import NOTHING_FOLLOWS, measured, tune


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "tuned.toml"
    path.write_text(NOTHING_FOLLOWS)
    return load_study(str(path))


@pytest.fixture
def records(study):
    """The second candidate of every method is better; the evaluation has records too."""

    def outcome(trial):
        better = 0.01 if "⟨2⟩" in trial.label else 0.0
        return measured(trial, 0.9 + better, 0.5 if trial.setting.method != "dense" else 0.0)

    tried = tune(study, tuning.stages, outcome)
    return tried + [outcome(trial) for trial in tuning.resolved(study, tried).trials()]


def test_a_row_says_what_a_candidate_changes_and_what_came_of_it(study, records):
    table = tuning_table(study, tuning.scores(study, records))
    assert list(table.label) == ["dense", "dense", "implicit", "implicit", "magnitude_filter", "magnitude_filter"]
    assert list(table.chosen) == [False, True] * 3
    assert list(table.method)[2:4] == ["Adam + L2 (implicit)"] * 2
    assert table.settings[3] == "learning_rate 0.01, strength 0.002/0.2"
    assert table["best validation accuracy"][3] == pytest.approx(0.91)
    assert table.score[3] == pytest.approx(0.5 * (0.91 - 0.89) / (1 - 0.89))


def test_results_and_page_of_a_tuned_study_hold_the_table(study, records, tmp_path, sketched):
    plan = tuning.resolved(study, records)
    made = draw(plan, own_records(plan, records), tmp_path, tuning.scores(study, records))[2]
    assert tmp_path / "tuning.csv" in made
    write_records(records, tmp_path / "store" / "records.jsonl")
    source = parts.Source(digest.read(study, Store(tmp_path / "store")), NOTHING_FOLLOWS)
    section = sections.tuning(source)
    assert section.files["data/tuning.csv"] == (tmp_path / "tuning.csv").read_bytes()
    assert list(section.tables[0].frame.chosen) == ["", "chosen"] * 3
    assert "Tuning seed: 100." in section.texts[0]
    assert "Tuned by one rule" not in sections.fairness(source).lead


def test_a_study_without_tuning_has_no_table(records, study, tmp_path, sketched):
    plan = tuning.resolved(study, records)
    own = own_records(plan, records)
    assert tmp_path / "tuning.csv" not in draw(plan, own, tmp_path)[2]
    write_records(own, tmp_path / "store" / "records.jsonl")
    assert sections.tuning(parts.Source(digest.read(plan, Store(tmp_path / "store")), "")) is None

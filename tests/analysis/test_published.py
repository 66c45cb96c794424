"""A reproduction's table: what is met, which setting counts, and that the best epoch stays in its own column."""

import pytest

from benchmark.analysis.published import judge, nearest, published_table
from benchmark.experiment.published import Published
from benchmark.experiment.study import load_study
from tests.support.made_records import failure, result
from tests.support.reproduction import REPRODUCTION

PAPER = Published(error=1.5, weights=0.2, source="A paper", verified="read")
BEST = "best epoch (looks at the test set)"


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "again.toml"
    path.write_text(REPRODUCTION.replace("seeds = [0]", "seeds = [0, 1, 2]"))
    return load_study(str(path))


def made(study, label, accuracies, weights=0.5, **fields):
    """Records of a label's first knob point, one a seed."""
    trials = [t for t in study.trials() if t.label == label and t.setting == study.points(label)[0]]
    return [
        result(trial, test_accuracy=accuracy, weight_sparsity=1 - weights, **fields)
        for trial, accuracy in zip(trials, accuracies, strict=True)
    ]


def row(study, records, label):
    table = published_table(study, records)
    return table[table["row"] == label].iloc[0]


@pytest.mark.parametrize(
    ("error", "weights", "verdict"),
    [
        (1.5, 0.2, "met"), (1.7, 0.22, "met"), (1.3, 0.18, "met"),
        (1.69, 0.219, "met"), (1.31, 0.181, "met"), (1.71, 0.2, "not met"), (1.5, 0.221, "not met"),
        (1.2, 0.2, "surpassed"), (1.5, 0.1, "surpassed"), (1.2, 0.1, "surpassed"), (1.2, 0.3, "not met"),
        (3.0, 0.01, "not met"), (float("nan"), float("nan"), "not run"),
    ],
)  # fmt: skip
def test_a_row_is_met_within_two_tenths_of_a_point_and_a_tenth_of_the_weights(error, weights, verdict):
    from benchmark.analysis.intervals import Interval

    assert judge(PAPER, Interval(error / 100, 0, 0, 3), Interval(weights, 0, 0, 3)) == verdict


def test_a_row_has_the_mean_over_seeds_with_the_least_and_the_greatest(study):
    records = made(study, "slim", [0.9, 0.91, 0.89], channels_left={"1": 16, "4": 4}, channels=40, channel_sparsity=0.5)
    found = row(study, records, "slim")
    assert (found.error, found.weights, found.left, found.verdict) == ("10.00 (9.00 to 11.00)", "50.0 (3 of 3)", "16-4",
        "met")  # fmt: skip
    assert found["published error"] == "10.00"
    assert found.source == "Another, as a third quotes it (quoted)"
    assert found.why == "its λ is not published"


def test_the_best_epoch_decides_nothing(study):
    records = made(study, "slim", [0.8, 0.8, 0.8])
    watched = [r.model_copy(update={"best_test_accuracy": 0.9 + r.seed / 1000}) for r in records]
    plain, seen = row(study, records, "slim"), row(study, watched, "slim")
    assert (plain[BEST], seen[BEST]) == ("–", "9.90 (9.80 to 10.00)")
    assert plain.drop(BEST).equals(seen.drop(BEST))
    assert seen.verdict == "not met"
    assert seen.why.startswith("error 10.00 points above the paper's; ")


def test_of_several_settings_size_alone_chooses(study):
    trials = [t for t in study.trials() if t.label == "cut"]
    shares = {0.25: 0.8, 0.5: 0.45, 0.75: 0.3}
    records = [
        result(t, weight_sparsity=1 - shares[r], test_accuracy=1 - abs(r - 0.5) / 10)
        for t in trials
        for r in [t.setting.hyperparameters["ratio"]]
    ]
    assert {r.knob_value for r in nearest(study.published["cut"], records)} == {0.5}
    better = [r.model_copy(update={"test_accuracy": 1.0}) if r.knob_value != 0.5 else r for r in records]
    assert {r.knob_value for r in nearest(study.published["cut"], better)} == {0.5}
    assert row(study, records, "cut")["chosen by size"] == "ratio 0.5"
    assert row(study, made(study, "slim", [0.9] * 3), "slim")["chosen by size"] == "–"


def test_a_seed_that_failed_is_named_and_not_counted(study):
    good = made(study, "slim", [0.9, 0.9, 0.9])
    records = [good[0], good[1], failure(good[2].trial)]
    found = row(study, records, "slim")
    assert (found.error, found.verdict) == ("10.00 (2 of 3)", "met by 2 of 3 seeds")
    assert found.why.startswith("seed 2 failed; ")
    nothing = row(study, [failure(r.trial) for r in good], "slim")
    assert (nothing.error, nothing.verdict, nothing.left) == ("–", "not run", "–")


def test_settings_that_have_not_run_leave_a_row_unsettled(study):
    records = made(study, "cut", [0.97] * 3)
    assert row(study, records, "cut").verdict == "met by 1 of 3 settings"
    assert row(study, records[:1], "cut").verdict == "met by 1 of 3 seeds, 1 of 3 settings"
    every = [result(t, test_accuracy=0.97, weight_sparsity=0.5) for t in study.trials() if t.label == "cut"]
    assert row(study, every, "cut").verdict == "met"


def test_a_row_without_records_is_not_run(study):
    table = published_table(study, [])
    assert set(table.verdict) == {"not run"}
    assert list(table["row"]) == ["dense", "slim", "cut"]


@pytest.mark.parametrize(("network", "left"), [("mlp", "30°-5-8-7"), ("lenet5", "5-8-30°-7")])
def test_features_stand_where_the_dense_layer_reads_them(study, network, left):
    (record,) = made(study, "dense", [0.9, 0.9, 0.9], channels_left={"0": 5, "3": 8, "7": 7}, features=90,
                     features_left=30)[:1]  # fmt: skip
    task = record.task.model_copy(update={"network": network, "widths": ()})
    assert row(study, [record.model_copy(update={"task": task})], "dense").left == left

import pytest

from benchmark.analysis.frame import STAGES
from benchmark.analysis.stages import changes, fell, start_of, tell
from benchmark.experiment.study import load_study
from tests.support.made_study import made_records, made_study

WHOLE = {"trained": 0.96, "silenced": 0.9, "reduced": 0.9, "fine_tuned": 0.95}


def test_the_changes_of_all_stages_add_up_to_what_is_left_of_dense():
    found = changes(WHOLE, 0.97)
    assert list(found) == list(STAGES)
    assert sum(found.values()) == pytest.approx(0.95 - 0.97)
    assert (found["trained"], found["reduced"]) == (pytest.approx(-0.01), 0)


@pytest.mark.parametrize(
    ("stages", "start", "stage"),
    [
        (WHOLE, 0.97, "silenced"),
        (WHOLE, 0.97 + 0.06, "trained"),
        (WHOLE, None, "silenced"),
        ({"trained": 0.9}, 0.95, "trained"),
        ({"trained": 0.9}, None, None),
        ({"trained": 0.9}, 0.9, None),
        ({"trained": 0.9, "silenced": 0.91, "reduced": 0.91, "fine_tuned": 0.89}, 0.9, "fine_tuned"),
        ({"checkpoint": 0.99, "silenced": 0.9, "reduced": 0.89}, None, "reduced"),
        ({}, 0.9, None),
    ],
    ids=str,
)
def test_the_stage_of_the_largest_fall_is_found(stages, start, stage):
    assert fell(stages, start) == stage


def test_a_record_is_compared_with_dense_of_its_own_seed_and_told_in_a_sentence(tmp_path):
    records = made_records(load_study(str(made_study(tmp_path))), bad=0.0)
    record = next(r for r in records if r.label == "m0" and r.seed == 1).model_copy(update={"stage_accuracy": WHOLE})
    (dense,) = (r for r in records if r.label == "dense" and r.seed == 1)
    assert start_of(record, records) == dense.val_accuracy
    assert start_of(record, [r for r in records if r is not dense]) is None
    text = tell(record, 0.97)
    assert text.startswith("validation accuracy: 97.00 % dense with the same seed, 96.00 % after training")
    assert text.endswith("90.00 % after removal, 95.00 % after fine-tuning; it fell most in silencing, by 6.00 points")
    assert tell(record.model_copy(update={"stage_accuracy": {}}), None).endswith("it fell at no stage")

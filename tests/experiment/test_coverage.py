"""Which trials of a study have a record, and which are still to run."""

from benchmark.experiment.coverage import own_records, remaining, unfinished
from benchmark.experiment.record import Record, describe
from benchmark.experiment.study import load_study
from tests.conftest import TINY
from tests.experiment.test_study import sampled, write
from tests.support.made_records import result


def test_samples_of_another_version_protocol_or_fixed_value_are_not_the_studys(tmp_path):
    plan = sampled(tmp_path, "optuna", 1, TINY.replace("[methods.implicit]", "[methods.implicit]\nthreshold = 0.01"))
    (slot, *_) = (slot for slot in plan.slots() if slot.label == "implicit")
    record = result(plan.trial(slot, plan.setting("implicit", {})))
    setting, protocol = record.setting, record.protocol
    other = {**setting.hyperparameters, "threshold": 0.1}
    strays = [
        record.model_copy(update={"setting": setting.model_copy(update={"version": setting.version + 1})}),
        record.model_copy(update={"setting": setting.model_copy(update={"hyperparameters": other})}),
        record.model_copy(update={"protocol": protocol.model_copy(update={"epochs": 5})}),
        record.model_copy(update={"base": setting}),
        record.model_copy(update={"label": "gone"}),
    ]
    assert own_records(plan, [*strays, record]) == [record]


def test_samples_on_another_base_network_are_not_the_studys(tmp_path):
    plan = sampled(tmp_path, "optuna", 1)
    (slot, *_) = (slot for slot in plan.slots() if slot.label == "magnitude_filter")
    record = result(plan.trial(slot, plan.setting(slot.label, {})))
    faster = record.base.model_copy(update={"hyperparameters": {**record.base.hyperparameters, "learning_rate": 0.5}})
    assert own_records(plan, [record.model_copy(update={"base": faster}), record]) == [record]
    assert own_records(plan, [record.model_copy(update={"base": None})]) == []


def test_what_a_study_lacks_is_told_by_method(tiny):
    plan = load_study(str(tiny))
    records = [result(trial) for trial in plan.trials()]
    assert unfinished(plan, records) == ""
    lacking = [r for r in records if r.label == "dense" or r.seed == 0][1:]
    assert unfinished(plan, lacking) == (
        " Unfinished: 5 of 10 trials have no record yet (Adam + L2 (implicit) 2; "
        "Filter magnitude + fine-tune 2; Dense 1)."
    )


def test_a_sentence_names_the_methods_that_lack_most(tmp_path):
    methods = [f'[methods.m{i}]\nmethod = "implicit"\nstrength = 0.0{i}\ntitle = "M{i}"\n' for i in range(1, 8)]
    plan = load_study(write(tmp_path, TINY.split("[methods.dense]")[0] + "".join(methods)))
    records = [result(trial) for trial in plan.trials()]
    few = [r for r in records if r.label in ("m6", "m7") or (r.label, r.seed) == ("m1", 0)]
    assert unfinished(plan, few) == (" Unfinished: 9 of 14 trials have no record yet (M2 2; M3 2; M4 2 and 2 more).")
    assert unfinished(plan, few[:1]).endswith("(M2 2; M3 2; M4 2 and 4 more).")


def test_a_search_has_slots_for_what_is_missing(tmp_path):
    plan = sampled(tmp_path, "optuna", 3)
    assert plan.trials() == []
    assert plan.size == 18
    todo = remaining(plan, [], retry_failed=False)
    assert len(todo) == 18
    assert len(set(todo[:6])) == 6
    slot = todo[0]
    made = [Record(**describe(plan.trial(slot, plan.setting(slot.label, {}))), status="ok")] * 4
    assert len(own_records(plan, made)) == 3
    left = remaining(plan, made, retry_failed=False)
    assert len(left) == 15
    assert slot not in left


def test_own_records_go_by_the_studys_labels(tiny):
    plan = load_study(str(tiny))
    record, stray = (result(trial) for trial in plan.trials()[:2])
    stray = stray.model_copy(update={"key": "0" * 64})
    assert own_records(plan, [record.model_copy(update={"label": "once"}), stray]) == [record]


def test_remaining_is_what_has_no_record(tiny):
    plan = load_study(str(tiny))
    trials = plan.trials()
    statuses = ["ok", "failed", "diverged"]
    records = [Record(**describe(t), status=s) for t, s in zip(trials, statuses, strict=False)]
    assert remaining(plan, records, retry_failed=False) == trials[3:]
    assert remaining(plan, records, retry_failed=True) == [trials[1], *trials[3:]]

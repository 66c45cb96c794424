"""What the driver makes of trials that end badly; Tune and its workers are made up."""

from types import SimpleNamespace

import pytest
import ray

from benchmark.errors import UsageError
from benchmark.experiment.store import Store
from benchmark.runner import keeper as keeper_module
from benchmark.runner import machines as machines_module
from benchmark.runner.identity import Identity, Question
from benchmark.runner.in_process import Destination, Resources
from benchmark.runner.keeper import WORKER_DIED, Keeper
from benchmark.runner.limits import Limits
from benchmark.runner.lots import as_config
from benchmark.runner.machines import Fitness, Machines, UnfitError
from benchmark.runner.post import Post
from tests.runner.test_trial import make, result


class Driver:
    """A keeper and what it hands over; `run` and the others are what Tune tells it of."""

    def __init__(self, folder, minutes=None):
        self.folder, self.records, self.killed, self.count = folder, [], [], 0
        machines = Machines(Resources(), Question(), print)
        self.keeper = Keeper(Destination(Store(folder), self.records.append), machines, Limits(minutes), Post())

    def start(self, *lot):
        self.count += 1
        path = self.folder / f"{self.count}.pkl"
        state = SimpleNamespace(ray_actor=self.count)
        tuned = SimpleNamespace(trial_id=str(self.count), config=as_config([*lot]))
        tuned.pickled_error_file, tuned.temporary_state = path, state
        self.keeper.on_trial_start(0, [], tuned)
        return tuned

    def end(self, tuned, *records):
        lines = [record.model_dump_json() for record in records]
        self.keeper.on_trial_result(0, [], tuned, {"records": lines, "seconds": [1.0] * len(lines), "said": []})

    def fail(self, tuned, error):
        tuned.pickled_error_file.write_bytes(ray.cloudpickle.dumps(error))
        self.keeper.on_trial_error(0, [], tuned)


@pytest.fixture
def driver(tmp_path, monkeypatch):
    found = Driver(tmp_path, minutes=1)
    monkeypatch.setattr(keeper_module, "LOOKED", 0)
    monkeypatch.setattr(ray, "kill", found.killed.append)
    return found


WORKER = ray.exceptions.RayActorError("a", f"The actor is dead because {WORKER_DIED}.", False, False)
MACHINE = ray.exceptions.ActorUnavailableError("Socket closed", None)
RAISED = ray.exceptions.RayTaskError("step", "Traceback\nValueError: deliberate", ValueError("deliberate"))


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([WORKER, WORKER], "it was lost 2 times: 2 with its worker process, 0 with its machine"),
        ([MACHINE, WORKER, MACHINE], "it was lost 3 times: 1 with its worker process, 2 with its machine"),
        ([MACHINE, WORKER, WORKER], "it was lost 3 times: 2 with its worker process, 1 with its machine"),
    ],
)
def test_a_trial_that_is_lost_too_often_has_crashed(driver, errors, said):
    trial = make("dense")
    for error in errors:
        assert driver.records == []
        driver.fail(driver.start(trial), error)
        assert driver.keeper.lost == [trial] * (not driver.records)
        driver.keeper.lost = []
    (record,) = driver.records
    assert (record.status, record.error, record.losses) == ("crashed", said, len(errors))


def test_what_ends_well_after_it_was_lost_says_how_often(driver):
    trial, other = make("dense"), make("dense", seed=1)
    driver.fail(driver.start(trial), MACHINE)
    driver.fail(driver.start(trial), WORKER)
    driver.end(driver.start(trial), result("dense"))
    driver.fail(driver.start(other), WORKER)
    assert [record.losses for record in driver.records] == [2]
    assert driver.records[0].status == "ok"
    assert driver.keeper.lost == [trial, trial, other]


def test_what_raises_is_not_tried_again(driver):
    driver.fail(driver.start(make("dense")), RAISED)
    assert driver.keeper.lost == []
    assert (driver.records[0].status, driver.records[0].error) == ("crashed", "ValueError: deliberate")


def test_a_worker_that_ends_after_its_record_is_no_loss(driver):
    tuned = driver.start(make("dense"))
    driver.end(tuned, result("dense"))
    driver.fail(tuned, WORKER)
    assert len(driver.records) == 1
    assert driver.keeper.lost == []


def test_what_runs_too_long_is_ended_once_and_not_tried_again(driver, monkeypatch):
    late, early = driver.start(make("dense")), driver.start(make("dense", seed=1))
    trial, own, started = driver.keeper.running[late.trial_id]
    driver.keeper.running[late.trial_id] = trial, own, started - 61
    for _ in range(3):
        driver.keeper.on_step_end(0, [])
    assert driver.killed == [1]
    driver.fail(late, WORKER)
    driver.end(early, result("dense", seed=1))
    assert [(r.status, r.error) for r in driver.records] == [
        ("timeout", "it ran longer than 1 minutes"),
        ("ok", None),
    ]
    assert driver.keeper.lost == []


@pytest.mark.parametrize("error", [WORKER, MACHINE, RAISED])
def test_a_lot_that_is_lost_runs_once_more_and_blames_none_of_its_trials(driver, error):
    lot = [make("dense", seed=seed) for seed in range(3)]
    driver.fail(driver.start(*lot), error)
    assert driver.records == []
    assert driver.keeper.lost == lot
    for seed in range(3):
        driver.fail(driver.start(lot[seed]), WORKER)  # alone the first kill of each
        driver.end(driver.start(lot[seed]), result("dense", seed=seed))
    assert [(r.status, r.losses) for r in driver.records] == [("ok", 2)] * 3


def test_a_lot_that_runs_too_long_is_ended_and_blames_none_of_its_trials(driver):
    lot = [make("dense"), make("dense", seed=1)]
    late = driver.start(*lot)
    trial, own, started = driver.keeper.running[late.trial_id]
    driver.keeper.running[late.trial_id] = trial, own, started - 61
    driver.keeper.on_step_end(0, [])
    assert driver.killed == [1]
    driver.fail(late, WORKER)
    assert driver.records == []
    assert driver.keeper.lost == lot


def test_what_a_worn_worker_leaves_of_its_lot_runs_once_more_and_counts_as_no_loss(driver):
    lot = [make("dense", seed=seed) for seed in range(3)]
    tuned = driver.start(*lot)
    driver.end(tuned, result("dense"))
    driver.fail(tuned, RAISED)  # how it asks to be replaced
    assert [record.key for record in driver.records] == [lot[0].key]
    assert driver.keeper.lost == lot[1:]
    driver.end(driver.start(lot[1]), result("dense", seed=1))
    assert driver.records[1].losses == 0


def test_a_refusal_is_kept_for_the_user(driver):
    def on_record(record):
        raise UsageError("the disk is full")

    driver.keeper.destination = Destination(Store(driver.folder), on_record)
    with pytest.raises(UsageError):
        driver.end(driver.start(make("dense")), result("dense"))
    assert str(driver.keeper.refusal) == "the disk is full"


def test_a_worker_on_a_machine_that_nobody_has_asked_asks_itself(monkeypatch):
    context = SimpleNamespace(get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "new"))
    monkeypatch.setattr(machines_module, "ray", context)
    asked, here = Question(("methods",)), Identity({}, {"the code of methods": "0"})
    with pytest.raises(UnfitError, match="the code of methods differs"):
        Fitness(asked, here, frozenset()).check()
    Fitness(asked, here, frozenset({"new"})).check()
    Fitness(Question(), here, frozenset()).check()  # there is no cluster

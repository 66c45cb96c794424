"""Records of a published site that are trained again."""

import json
import math
import random
import shutil

import numpy as np
import pytest
from scipy import stats

from benchmark import own_files
from benchmark.analysis.reruns import LEVEL, judge, tolerance
from benchmark.cli.rerun import draw
from benchmark.data import load as data
from benchmark.errors import UsageError
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from tests.conftest import TINY
from tests.support.made_study import made_records, made_study
from tests.support.own_study import write_own

MEASURE = "test_accuracy"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_records(load_study(str(made_study(tmp_path_factory.mktemp("made"), seeds=6))), bad=0.1)


def own(made, label="m0"):
    return [r for r in made if r.label == label and r.measured]


def test_draws_are_of_results_without_repeats_and_known_by_their_seed(made):
    one, other = draw(made, 9, 1), draw(made[::-1], 9, 1)
    assert one == other
    assert len({record.key for record in one}) == 9
    assert all(record.measured for record in one)
    assert one != draw(made, 9, 2)
    everything = draw(made, sum(record.measured for record in made), 0)
    assert {r.key for r in everything} == {r.key for r in made if r.measured}
    with pytest.raises(UsageError, match=f"the site has {len(everything)} records with a result"):
        draw(made, len(everything) + 1, 0)


def test_the_tolerance_is_that_of_two_seeds_pooled_over_knob_points(made):
    found = own(made)
    points = {}
    for record in found:
        points.setdefault(record.setting.hyperparameters["ratio"], []).append(record.test_accuracy)
    freedom = sum(len(values) - 1 for values in points.values())
    pooled = math.sqrt(sum(np.var(v, ddof=1) * (len(v) - 1) for v in points.values() if len(v) > 1) / freedom)
    expected = stats.t.ppf(1 - LEVEL / 2, freedom) * math.sqrt(2) * pooled
    assert tolerance(found, MEASURE) == pytest.approx(expected)
    assert np.isnan(tolerance([r for r in found if r.seed == 0], MEASURE))
    alike = [r.model_copy(update={"param_sparsity": 0.5}) for r in found]
    assert tolerance(alike, "param_sparsity") == 1 / found[0].channels  # one channel more is no other result


@pytest.mark.parametrize("seeds", [2, 10])
def test_a_rerun_that_is_a_new_draw_is_beyond_its_tolerance_as_seldom_as_is_said(seeds):
    generator, tries = np.random.default_rng(0), 40_000
    values = generator.normal(size=(tries, 4, seeds))
    squares = values.var(axis=2, ddof=1).mean(axis=1)
    most = stats.t.ppf(1 - LEVEL / 2, 4 * (seeds - 1)) * np.sqrt(2 * squares)
    beyond = (np.abs(generator.normal(size=tries) - generator.normal(size=tries)) > most).mean()
    assert beyond == pytest.approx(LEVEL, abs=5 * math.sqrt(LEVEL / tries))


def test_a_rerun_is_the_same_within_or_apart(made):
    records = own(made)
    before = records[0]
    most = tolerance(records, MEASURE)

    def verdict(**changed):
        return judge(before, before.model_copy(update=changed), made).verdict

    assert verdict(train_seconds=99.0, created="") == "same"
    assert verdict(stage_accuracy={"trained": 0.5}) == "within"
    assert verdict(test_accuracy=before.test_accuracy - 0.99 * most) == "within"
    assert verdict(test_accuracy=before.test_accuracy - 1.01 * most) == "apart"
    assert verdict(status="collapsed") == "apart"
    alone = judge(before, before.model_copy(update={"val_accuracy": 0.1}), [before])
    assert alone.verdict == "apart"  # where no second seed says how much may differ, everything has to be the same


def anew():
    """What a new process knows of data and the user's files."""
    own_files.KNOWN.clear()
    data.load.cache_clear()
    data.decode.cache_clear()


@pytest.mark.usefixtures("sketched")
def test_what_is_not_here_is_said_and_is_not_apart(deadweight, tmp_path):
    """A site holds no arrays, code or weights of the user's; beside its copy of the study they are found."""
    write_own(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY.replace("[0, 1]", "[0]"))
    for name in ("own.toml", "tiny.toml"):
        assert deadweight("run", name, "--in-process")[0] == 0
    assert deadweight("publish", "own.toml", "tiny.toml", "--out", "site")[0] == 0

    def verify():
        anew()
        return deadweight("verify", "site", "--rerun", 10)

    code, out, _ = verify()
    assert out.count("not trained again, for it is not all here: npz:signals.npz: cannot read ") == 5
    assert "5 records trained again, drawn with seed 0: 5 the same" in out
    assert (code, "0 apart; 5 not trained, for what they need is not here\n" in out) == (0, True)
    for name in ("signals.npz", "my_nets.py", "trained.pt"):
        shutil.copy(tmp_path / name, tmp_path / "site/own")
    code, out, _ = verify()
    assert (code, "10 the same in every number, 0 within the tolerance" in out) == (0, True)
    (tmp_path / "site/own/trained.pt").write_bytes(b"another")
    assert verify()[1].count("trained.pt is not the file that it was") == 5


@pytest.mark.usefixtures("sketched")
def test_where_no_record_can_be_trained_again_nothing_is_verified(deadweight, tmp_path):
    write_own(tmp_path)
    assert deadweight("run", "own.toml", "--in-process")[0] == 0
    assert deadweight("publish", "own.toml")[0] == 0
    anew()
    code, out, err = deadweight("verify", "site", "--rerun", 2)
    assert (code, "apart" in out, out.count("not trained again")) == (2, False, 2)
    assert err == "deadweight: none of the 2 records drawn could be trained again: what they need is not here\n"


def test_verify_trains_records_again_and_finds_one_that_was_made_up(deadweight, tiny, tmp_path):
    assert deadweight("run", tiny, "--in-process")[0] == 0
    assert deadweight("publish", tiny)[0] == 0
    code, out, _ = deadweight("verify", "site", "--rerun", 4, "--draw-seed", 3)
    assert code == 0
    assert out.count("the same in every number\n") == 4
    assert "4 records trained again, drawn with seed 3: 4 the same in every number, 0 within" in out
    assert "Tolerance: processors round sums in other orders" in out
    code, _, err = deadweight("verify", "site", "--rerun", 99)
    assert (code, err.count("\n"), "the site has 10 records with a result" in err) == (2, 1, True)

    file = tmp_path / "results/tiny/records.jsonl"
    records = sorted(Store(file.parent).load(), key=lambda record: record.key)
    chosen = random.Random(0).sample(records, 1)[0]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line["test_accuracy"] = 0.999 if line["key"] == chosen.key else line["test_accuracy"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert deadweight("publish", tiny)[0] == 0
    assert deadweight("verify", "site")[0] == 0  # of itself a record may say anything
    code, out, _ = deadweight("verify", "site", "--rerun", 1)
    assert "0 the same in every number" in out
    assert code == int("1 apart" in out)
    assert "though processor, versions and code are those of the record" in out

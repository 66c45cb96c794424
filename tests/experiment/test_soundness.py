"""A record that cannot be is refused where it is read, with its file, line and field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.experiment.soundness import NEEDED
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from tests.support.made_study import made_records, made_study


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A whole record as a line holds it."""
    study = load_study(str(made_study(tmp_path_factory.mktemp("study"))))
    return made_records(study, bad=0.0)[0].model_dump(mode="json", exclude_defaults=True)


def load(folder, *lines):
    store = Store(folder)
    store.path.write_text("".join(f"{line}\n" for line in lines))
    return store.load()


BAD = {
    "status": ["weird", "<b>ok</b>", "", 1],
    "val_accuracy": [5, -1e308, float("nan"), None, "high"],
    "test_accuracy": [1.7, None],
    "channel_sparsity": [7, 0.5, float("inf")],
    "param_sparsity": [0.123],
    "mac_sparsity": [0.123],
    "weight_sparsity": [-7, None],
    "params": [0, -1, 2**70],
    "params_dense": [0],
    "channels": [2**70, 0],
    "removal_error": [-1, float("inf")],
    "stage_accuracy": [{"trained": 2}, {"<b>": 0.5}],
    "threshold_sweep": [{"x": 0.1}, {"1e-15": 2}, {"": 0.5}],
    "threshold_accuracy": [{"nan": 0.1}],
    "norm_histogram": [{"x": 3}, {"-inf": 0}, {"-inf": -3}, {"0.00": 10**6}],
    "latency": [{"dense": 0, "reduced": 1}, {"dense": 1}, {"a": 1, "b": 2}],
    "history": [{"loss": [1.0]}, {"loss": [1.0] * 61}, {"<b>": [0.5] * 60}, {"val_accuracy": [2.0] * 60}],
    "created": ["yesterday", "<script>"],
    "provenance": [
        {"a": {"b": {}}},
        {"a": [[1]]},
        [],
        {"threads": "many"},
        {"threads": 0},
        {"threads": True},
        {"threads": 10**9},
        {"threads": None},
    ],
    "train_seconds": [-1],
    "peak_memory": [-1],
    "knob": ["no such"],
    "side_effects": ["all", [1]],
    "surplus": [1],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD.items() for value in values])
def test_a_value_that_cannot_be_is_refused(field, value, sound, tmp_path):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, json.dumps(sound), json.dumps({**sound, field: value}))
    words = str(caught.value)
    assert words.startswith(f"{tmp_path / 'records.jsonl'}, line 2 is not a record: ")
    assert "\n" not in words
    assert field.partition("_")[0] in words or "sparsity" in words


def test_a_result_without_its_measures_is_refused_and_a_failure_has_none(sound, tmp_path):
    bare = {name: value for name, value in sound.items() if name not in NEEDED}
    with pytest.raises(UsageError, match="val_accuracy is missing, and its status is ok"):
        load(tmp_path, json.dumps(bare))
    assert len(load(tmp_path, json.dumps({**bare, "status": "failed"}))) == 1


def test_lines_nested_deeply_are_refused_and_a_last_one_without_end_is_dropped(sound, tmp_path):
    deep = '{"a":' * 100_000
    with pytest.raises(UsageError, match="line 2 is not a record"):
        load(tmp_path, json.dumps(sound), deep)
    store = Store(tmp_path)
    store.path.write_text(json.dumps(sound) + "\n" + deep)
    assert len(store.load()) == 1
    store.mend()
    assert store.path.read_text() == json.dumps(sound) + "\n"


def test_records_that_cannot_be_read_are_one_line(tmp_path):
    store = Store(tmp_path)
    store.path.mkdir()
    for act in (store.load, store.mend):
        with pytest.raises(UsageError, match=r"^cannot (read|mend) .*records\.jsonl: Is a directory$"):
            act()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(2**70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
def test_no_line_raises_anything_but_the_one_line(tmp_path_factory, sound, data):
    """Ten thousand of these: `pytest --hypothesis-profile fuzz`."""
    folder = tmp_path_factory.getbasetemp()
    line = dict(sound)
    for field in data.draw(st.lists(st.sampled_from([*line, "error", "base", "extra"]), min_size=1, max_size=3)):
        line[field] = data.draw(JSON)
    words = ""
    try:
        records = load(folder, json.dumps(line))
    except UsageError as error:
        words, records = str(error), []
    assert all(0 <= record.test_accuracy <= 1 for record in records if record.measured)
    assert records or ("line 1" in words and "\n" not in words)


def test_channels_that_go_together_or_not_at_all_may_have_fewer_norms(sound, tmp_path):
    counts = {"channels": sound["channels"] + 5, "channels_left": {**sound["channels_left"], "joined": 5}}
    counts["channel_sparsity"] = 1 - sum(counts["channels_left"].values()) / counts["channels"]
    assert load(tmp_path, json.dumps({**sound, **counts}))

"""A kept network is used only where it is the very one of its record, and never more than the fronts are kept."""

import json
import pickle

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import deadweight
from benchmark.errors import UsageError
from benchmark.networks.kept import ENTRY, pack
from benchmark.networks.measure import logits
from benchmark.runner import kept as kept_module
from benchmark.runner.kept import KeptNetworks, bound, dense_arguments, pack_network
from benchmark.runner.trial import examples, first_images, run_and_keep, train_base
from tests.runner.test_bases import Bomb, make


@pytest.fixture(scope="module")
def done():
    """A record, its reduced network, and the file's content."""
    trial = make()
    record, module = run_and_keep(trial, train_base(trial))
    return record, module, pack_network(record, module)


@pytest.fixture
def kept(tmp_path, done):
    said = []
    found = KeptNetworks(tmp_path / "kept", said.append)
    found.save(done[0], done[2])
    found.said = said
    return found


def test_a_kept_network_is_what_was_measured(kept, done):
    record, module, _ = done
    images = first_images(examples(record.trial))
    assert torch.equal(logits(kept.load(record), images), logits(module, images))
    assert torch.equal(logits(deadweight.load(kept.path(record.key)), images), logits(module, images))
    assert kept.fits(record)
    assert kept.said == []
    assert kept.load(record.model_copy(update={"key": "0" * 64})) is None
    assert kept.said == []  # there is none: nothing to say


def test_its_header_holds_the_record_and_the_proof(kept, done):
    record, _, _ = done
    with safetensors.safe_open(kept.path(record.key), "pt") as file:
        about = json.loads(file.metadata()[ENTRY])
    assert about["record"]["key"] == record.key
    assert about["record"]["removal_error"] == record.removal_error
    assert about["record"]["removal_tried"] == record.removal_tried
    assert about["layers"]


@pytest.mark.parametrize(
    "changed",
    [{"val_accuracy": 0.123}, {"params": 1}, {"created": "2020-01-01T00:00:00+00:00"}, {"removal_error": 1.0}],
)
def test_one_of_another_record_is_not_used(kept, done, changed):
    assert kept.load(done[0].model_copy(update=changed)) is None
    (line,) = kept.said
    assert str(kept.path(done[0].key)) in line
    assert f"is not used: its {next(iter(changed))} is " in line


def rewrite(path, change):
    """Stores a file's tensors and header as `change` leaves them."""
    with safetensors.safe_open(path, "pt") as file:
        metadata, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    about = json.loads(metadata[ENTRY])
    change(about, state)
    path.write_bytes(safetensors.torch.save(state, metadata={ENTRY: json.dumps(about)}))


def stronger(about, state):
    state[sorted(state)[-1]] *= 1.5


def renamed(about, state):
    state["other"] = state.pop(sorted(state)[0])


def reshaped(about, state):
    name = next(name for name in state if name.endswith("weight"))
    state[name] = state[name].reshape(-1)


def of_another(about, state):
    about["record"]["key"] = "1" * 64


def wider(about, state):
    next(iter(about["layers"].values()))["out_features"] = 9


def elsewhere(about, state):
    about["network"]["network"] = "lenet300"


def more(about, state):
    about["extra"] = 1


def no_hash(about, state):
    del about["sha256"]


@pytest.mark.parametrize("change", [stronger, renamed, reshaped, of_another, wider, elsewhere, more, no_hash])
def test_one_that_was_changed_is_not_used(kept, done, change):
    rewrite(kept.path(done[0].key), change)
    assert kept.load(done[0]) is None
    assert len(kept.said) == 1
    with pytest.raises(UsageError, match="holds no exported network: it "):
        deadweight.load(kept.path(done[0].key))


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 9, pickle.dumps(Bomb()), safetensors.torch.save({})])
def test_a_file_that_is_no_network_is_not_used(kept, done, content):
    kept.path(done[0].key).write_bytes(content)
    assert kept.load(done[0]) is None
    assert "it cannot be read" in kept.said[0]


def test_an_honest_hash_of_other_weights_is_found_by_what_they_do(kept, done):
    record, module, _ = done
    trial = record.trial
    other, state = type(module), module.state_dict()
    assert other
    broken = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    module.load_state_dict(broken)
    kept.path(record.key).write_bytes(pack(module, dense_arguments(trial), bound(record)))
    module.load_state_dict(state)
    assert kept.load(record) is None
    assert "its test accuracy is " in kept.said[0]


@given(data=st.data())
def test_no_damage_to_a_file_passes_or_raises(tmp_path_factory, done, data):
    record, module, packed = done
    kept = KeptNetworks(tmp_path_factory.mktemp("damaged"), lambda line: None)
    content = bytearray(packed)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(1, 50))] = data.draw(st.binary(max_size=50))
    kept.save(record, bytes(content))
    found = kept.load(record)
    state = module.state_dict()
    assert found is None or all(torch.equal(tensor, state[name]) for name, tensor in found.state_dict().items())


def test_a_network_that_cannot_be_read_back_is_not_kept_and_says_so(kept, done):
    record, _, _ = done
    packed = pack_network(record, nn.Sequential(nn.Linear(3, 3)))
    assert isinstance(packed, str)
    kept.drop([record.key])
    kept.save(record, packed)
    assert kept.sizes == {}
    assert f"is not kept: {packed}" in kept.said[0]


def test_the_largest_go_where_all_would_take_too_much(kept, done, monkeypatch):
    record, _, packed = done
    monkeypatch.setattr(kept_module, "LIMIT", 2 * len(packed) + 10)
    for digit, size in (("1", 10), ("2", len(packed) + 1)):
        kept.save(record.model_copy(update={"key": digit * 64}), b"x" * size)
    assert set(kept.sizes) == {record.key, "1" * 64}
    assert [line.split(":")[0] for line in kept.said] == ["the kept network 22222222 goes"]


def test_a_disk_that_is_full_costs_the_network_only(tmp_path, done):
    said = []
    (tmp_path / "kept").write_text("in the way")
    found = KeptNetworks(tmp_path / "kept", said.append)
    found.save(done[0], done[2])
    assert "is not kept: cannot write" in said[0]
    assert found.load(done[0]) is None

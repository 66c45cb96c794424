"""A study's own files are part of its keys by name and content; whoever brings none keeps the keys there are."""

import json
from pathlib import Path

import pytest
import torch

from benchmark import own_files
from benchmark.errors import UsageError
from benchmark.experiment.brought import NOTE, PINS, write_note
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.experiment.trial import Task
from tests.support.own_study import NETS, STUDY, write_own

RESULTS = Path(__file__).parents[2] / "results"
HASH = 64 * "0"


@pytest.fixture
def own(tmp_path):
    return write_own(tmp_path)


def keys(path, results=None):
    return [trial.key for trial in load_study(str(path), results).trials()]


def task(path, results=None):
    return load_study(str(path), results).tasks[0]


def problem(path):
    with pytest.raises(UsageError) as caught:
        load_study(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_published_record_keeps_its_key_and_its_line():
    count = 0
    for path in sorted(RESULTS.glob("*/records.jsonl")):
        lines = path.read_text().splitlines()
        for line, record in zip(lines[::20], map(Record.model_validate_json, lines[::20]), strict=True):
            assert record.expected_key() == record.key == record.trial.key
            assert json.loads(record.model_dump_json(exclude_defaults=True)) == json.loads(line)
            assert record.task.brought == {}
            count += 1
    assert count > 50


def test_every_shipped_task_has_the_json_that_its_key_was_made_of():
    plain = load_study("digits").tasks[0].model_dump(mode="json", exclude_none=True)
    assert plain == {"dataset": "digits", "network": "mlp", "widths": [256], "activation": "relu", "norm": "batch"}
    stored = {record.key for record in Store(RESULTS / "conditions_mnist").load()}
    assert {trial.key for trial in load_study("conditions_mnist").trials()} == stored


def test_a_study_without_own_files_leaves_no_note(tmp_path, tiny):
    write_note(load_study(str(tiny)), tmp_path)
    assert not (tmp_path / NOTE).exists()


def test_the_same_files_give_the_same_keys_wherever_they_lie(own, tmp_path):
    before = keys(own)
    other = tmp_path / "elsewhere"
    other.mkdir()
    for path in [*tmp_path.glob("*.*")]:
        (other / path.name).write_bytes(path.read_bytes())
    assert keys(other / "own.toml") == before
    absolute = STUDY.replace("my_nets.py", str(tmp_path / "my_nets.py")).replace("trained.pt", "../trained.pt")
    (other / "own.toml").write_text(absolute)
    assert keys(other / "own.toml") == before
    assert task(own).name == "npz-signals-my_nets-build-from-trained"


def test_another_source_or_checkpoint_or_name_gives_other_keys(own, tmp_path):
    seen = [keys(own)]
    (tmp_path / "my_nets.py").write_text(NETS + "# a comment\n")
    seen.append(keys(own))
    state = torch.load(tmp_path / "trained.pt", weights_only=True)
    torch.save({name: tensor + 1 for name, tensor in state.items()}, tmp_path / "trained.pt")
    seen.append(keys(own))
    (tmp_path / "my_nets.py").rename(tmp_path / "nets.py")
    own.write_text(STUDY.replace("my_nets.py", "nets.py"))
    seen.append(keys(own))
    own.write_text(own.read_text().replace('checkpoint = "trained.pt"\n', ""))
    seen.append(keys(own))
    assert len({key for found in seen for key in found}) == sum(map(len, seen))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("my_nets.py", "my_net.py", "the study names my_net.py:build, and there is no "),
        ("my_nets.py", "no_such_package.nets", "the study names no_such_package.nets:build, and there is no module"),
        ("trained.pt", "traned.pt", "the study names traned.pt, and there is no "),
        ("trained.pt", "..", "'..' is no name of a file"),
        ("trained.pt", "", "'' is no name of a file"),
        ("trained.pt", "folder", "folder is no file"),
        ("trained.pt", "~no_such_user/trained.pt", "~no_such_user/trained.pt: "),
        ("npz:signals.npz", "npz:~no_such_user/a.npz", "~no_such_user/a.npz: "),
        ("trained.pt", "/dev/zero", "/dev/zero is no file"),
        ("trained.pt", 300 * "a", "is no name of a file in a study's folder"),
        ("trained.pt", "a\\u0007b", "is no name of a file in a study's folder"),
        ("my_nets.py:build", "my_nets.py:", "unknown network 'my_nets.py:'"),
        ("my_nets.py:build", "my_nets.py", "unknown network 'my_nets.py'"),
        ("npz:signals.npz", "npz:", "'' is no name of a file"),
        ("npz:signals.npz", "signals.npz", "unknown dataset 'signals.npz'; did you mean"),
        ('"trained.pt"', "3", "tasks.0.checkpoint"),
        ('"my_nets.py:build"', "3", "tasks.0.network"),
        ('"trained.pt"', f'"trained.pt"\nnetwork_sha256 = "{HASH}"', "network_sha256 follows from the file"),
        ('"my_nets.py:build"', f'"mlp"\ncheckpoint_sha256 = "{HASH}"', "checkpoint_sha256 follows from the file"),
    ],
)
def test_what_is_not_there_or_no_name_is_one_line(own, old, new, words):
    (own.parent / "folder").mkdir()
    own.write_text(STUDY.replace(old, new, 1))
    assert words in problem(own)


def test_two_files_of_one_name_are_one_line(own, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "my_nets.py").write_text(NETS)
    second = STUDY.partition("[[tasks]]")[2].partition("[methods")[0].replace("my_nets.py", "../other/my_nets.py")
    (tmp_path / "deep").mkdir()
    own.write_text(STUDY.replace("[methods.checkpoint]", f"[[tasks]]{second}\n[methods.checkpoint]"))
    own.write_text(own.read_text().replace("../other/", str(tmp_path / "other") + "/"))
    assert "give one another file name" in problem(own)


def test_a_note_stands_for_files_that_are_not_there_and_no_longer_where_they_are(own, tmp_path):
    results, before = tmp_path / "results", keys(own)
    write_note(load_study(str(own)), results / "own")
    (tmp_path / "my_nets.py").write_text(NETS + "# changed\n")
    assert keys(own, results) != before
    for name in ("my_nets.py", "trained.pt", "signals.npz"):
        (tmp_path / name).unlink()
    assert keys(own, results) == before
    (results / "own" / NOTE).write_text("[]")
    with pytest.raises(UsageError, match="is no table of names and hashes"):
        load_study(str(own), results)


def test_pins_beside_the_study_are_what_it_means(own, tmp_path):
    before = keys(own)
    write_note(load_study(str(own)), tmp_path)
    (tmp_path / "my_nets.py").write_text(NETS + "# changed\n")
    assert keys(own) != before  # a note in its folder is one of a run
    (tmp_path / NOTE).rename(tmp_path / PINS)
    assert keys(own) == before
    with pytest.raises(UsageError, match="is not the file that it was"):
        own_files.read("my_nets.py:build", task(own).network_sha256)


def test_an_installed_package_is_not_imported_to_be_found_and_its_entry_points_are_names(own, tmp_path, monkeypatch):
    package = tmp_path / "installed" / "their_nets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "small.py").write_text("raise RuntimeError('imported')\n" + NETS)
    info = package.parent / "their_nets-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: their_nets\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[deadweight.networks]\nsmall = their_nets.small:build\nmlp = their_nets.small:build\n"
        "[deadweight.datasets]\nwaves = their_nets.small:waves\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    own.write_text(STUDY.replace("my_nets.py:build", "their_nets.small:build"))
    named = task(own)
    own.write_text(STUDY.replace("my_nets.py:build", "small").replace("npz:signals.npz", "waves"))
    assert task(own).network == named.network == "their_nets.small:build"
    assert task(own).network_sha256 == named.network_sha256
    assert task(own).dataset == "their_nets.small:waves"
    results = tmp_path / "results" / own.stem
    write_note(load_study(str(own)), results)
    with monkeypatch.context() as absent:  # records are read where the package is not installed, too
        absent.setattr(own_files, "plugins", lambda group: {})
        found = load_study(str(own), results.parent)
        assert (found.tasks[0].network, found.tasks[0].dataset) == ("their_nets.small:build", "their_nets.small:waves")
        write_note(found, results)
        assert load_study(str(own), results.parent) == found
        (own.parent / PINS).write_bytes((results / NOTE).read_bytes())  # as `publish` puts it beside its copy
        assert load_study(str(own)) == found
        (own.parent / PINS).unlink()
    own.write_text(STUDY.replace("my_nets.py:build", "mlp"))
    assert task(own).network == "mlp"  # a package does not replace what is built in
    own.write_text(STUDY.replace("my_nets.py:build", "smal"))
    assert "unknown network 'smal'; did you mean 'small'?" in problem(own)


def test_conditions_change_the_network_to_an_own_one_and_back(own):
    text = STUDY.partition("[methods.checkpoint]")[0].replace('checkpoint = "trained.pt"\n', "") + (
        '[methods.dense]\n[conditions]\nof = "dense"\n[conditions.factors.network]\n'
        'own = {}\nmlp = {network = "mlp", widths = [8]}\n'
    )
    own.write_text(text)
    assert [t.task.network for t in load_study(str(own)).trials()] == ["my_nets.py:build", "mlp"]
    own.write_text(text.replace('"my_nets.py:build"', '"mlp"').replace('"mlp", widths', '"my_nets.py:build", widths'))
    hashes = [t.task.network_sha256 for t in load_study(str(own)).trials()]
    assert (hashes[0], len(hashes[1])) == (None, 64)


@pytest.mark.parametrize(
    "fields",
    [
        {"network": "my_nets.py:build"},
        {"network": "mlp", "network_sha256": HASH},
        {"network": "torchvision:resnet18", "network_sha256": HASH},
        {"network": "my_nets.py:build", "network_sha256": "f"},
        {"network": "../my_nets.py:build", "network_sha256": HASH},
        {"network": "/my_nets.py:build", "network_sha256": HASH},
        {"network": "a\nb.py:build", "network_sha256": HASH},
        {"network": "mlp", "checkpoint": "trained.pt"},
        {"network": "mlp", "checkpoint_sha256": HASH},
        {"network": "mlp", "checkpoint": "../trained.pt", "checkpoint_sha256": HASH},
        {"network": "mlp", "checkpoint": ".", "checkpoint_sha256": HASH},
        {"network": "mlp", "dataset": "npz:../signals.npz"},
        {"network": "mlp", "dataset": "../my_data.py:load"},
    ],
)
def test_a_record_can_name_no_file_outside_a_study_s_folder(fields):
    with pytest.raises((UsageError, ValueError)):
        Task(**{"dataset": "digits", **fields})


def test_a_name_that_records_alone_have_opens_nothing(own):
    load_study(str(own))
    for name in ("os:system", "their.py:build", "other.pt"):
        with pytest.raises(UsageError, match="the study's file does not name it"):
            own_files.read(name, HASH)


def test_names_of_tasks_are_names_of_files():
    made = Task(
        dataset="npz:a b/ünï.npz", network="sub/my nets.py:build", network_sha256=HASH, checkpoint="run1/best.v2.pt",
        checkpoint_sha256=HASH,
    )  # fmt: skip
    assert made.name == "npz-a-b-n-sub-my-nets-build-from-run1-best.v2"
    plain = {"widths": (), "activation": "relu", "norm": "batch"}
    for library in ("torchvision", "timm"):  # a colon cannot be in a file's name everywhere
        assert Task(dataset="digits", network=f"{library}:resnet18", **plain).name == f"digits-{library}-resnet18"

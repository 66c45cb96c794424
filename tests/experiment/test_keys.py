"""The table of keys names what a study accepts, as the models and the README say it."""

import re
from pathlib import Path

import pytest

import benchmark
from benchmark.experiment.brought import HASHES
from benchmark.experiment.keys import OF_A_METHOD, TABLES, keys, to_markdown
from benchmark.experiment.study import NOT_HYPERPARAMETERS, load_study
from tests.conftest import TINY

ROWS = {row.key: row for row in keys()}


def test_every_field_of_every_model_is_there_once_and_explained():
    expected = {place + name for place, model in TABLES.items() for name in model.model_fields}
    expected -= {"name", *(f"tasks.{name}" for name in HASHES)}
    expected |= {f"methods.LABEL.{name}" for name in (*NOT_HYPERPARAMETERS, "HYPERPARAMETER")}
    assert list(ROWS) == [row.key for row in keys()]
    assert ROWS.keys() == expected
    assert OF_A_METHOD.keys() == {*NOT_HYPERPARAMETERS, "HYPERPARAMETER"}
    for row in ROWS.values():
        assert row.meaning.endswith("."), row
        assert not re.search(r"[|\n]", row.meaning + row.type + row.default), row


@pytest.mark.parametrize(
    ("key", "kind", "default"),
    [
        ("protocol.epochs", "integer ≥ 1, ≤ 1000000", "required"),
        ("protocol.fine_tune_share", "number ≥ 0, < 1", "0.25"),
        ("protocol.split_seed", 'integer or "seed"', "0"),
        ("protocol.watch_test", "true", "none"),
        ("sampler", '"grid" or "random" or "optuna"', '"grid"'),
        ("tasks", "list of tables", "required"),
        ("tasks.widths", "list of integers ≥ 1", "none"),
        ("published.LABEL.note", "string", "none"),
    ],
)
def test_type_and_default_are_those_of_the_model(key, kind, default):
    assert (ROWS[key].type, ROWS[key].default) == (kind, default)


def test_a_required_key_that_is_missing_is_refused(tiny):
    for key in ("title", "protocol.epochs", "tasks.network"):
        assert ROWS[key].default == "required"
        name = key.rpartition(".")[2]
        tiny.write_text(re.sub(rf"^{name} = .*$", "", TINY, flags=re.MULTILINE))
        with pytest.raises(Exception, match=rf"the key '{key.replace('.', r'.(0.)?')}' is missing"):
            load_study(str(tiny))


def test_the_readme_has_the_same_table():
    text = (Path(benchmark.__file__).parent / "studies" / "README.md").read_text()
    table = to_markdown(keys())
    assert text.endswith(f"\n\n{table}"), f"benchmark/studies/README.md has to end with\n\n{table}"


def test_the_command_prints_every_key(deadweight):
    code, out, _ = deadweight("keys")
    assert code == 0
    shown = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert ROWS.keys() <= shown

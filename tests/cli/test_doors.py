"""What the commands answer to other programs and to whoever waits: exit codes, JSON, lines of progress, estimates."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
import torch

from benchmark.cli import progress
from benchmark.experiment.brought import HASHES
from benchmark.experiment.conditions import Conditions
from benchmark.experiment.names import STUDIES
from benchmark.experiment.published import Published
from benchmark.experiment.store import Store
from benchmark.experiment.study import Study, load_study
from benchmark.experiment.trial import Protocol, Task
from benchmark.experiment.tuning import Tuning
from benchmark.runner import trial as trial_module
from benchmark.runner.run import core_hours
from tests.conftest import FAULTY, TINY
from tests.support.made_records import make_records

RAISES = TINY.partition("[methods.dense]")[0] + "[methods.raises]\n"


def stored(tiny):
    store = Store(tiny.parent / "results" / "tiny")
    store.path.parent.mkdir(parents=True, exist_ok=True)
    return store


@pytest.mark.usefixtures("faulty_methods")
def test_a_run_with_failures_ends_with_1_and_offers_figures_only_of_results(deadweight, tiny):
    tiny.write_text(RAISES)
    code, out, _ = deadweight("run", tiny, "--in-process")
    assert (code, "next:" in out, "2 failed" in out) == (1, False, True)
    tiny.write_text(RAISES + "[methods.dense]\n")
    code, out, _ = deadweight("run", tiny, "--in-process")
    assert (code, f"next: deadweight plot {tiny}" in out) == (1, True)


@pytest.mark.usefixtures("faulty_methods")
def test_a_run_that_only_diverged_ends_with_0(deadweight, tiny):
    tiny.write_text(RAISES.replace("raises", "diverges"))
    assert deadweight("run", tiny, "--in-process")[0] == 0


def test_where_nobody_watches_a_bar_progress_is_told_in_lines(deadweight, tiny, monkeypatch):
    monkeypatch.setattr(progress, "LOGGED", 0.01)
    _, out, _ = deadweight("run", tiny, "--in-process")
    told = [line for line in out.splitlines() if line.endswith(" of 10 trials done, 0 failed")]
    assert told[0] == "starting: 0 of 10 trials done, 0 failed"
    assert any(line.startswith("tiny: training base networks: 0 of 10 ") for line in told)
    assert any(line.startswith("tiny: running implicit: ") for line in told)


def test_progress_is_in_a_log_too_that_grows_from_run_to_run(deadweight, tiny, tmp_path):
    tiny.write_text(TINY.replace("[0, 1]", "[0]"))
    deadweight("run", tiny, "--in-process")
    tiny.write_text(TINY)
    deadweight("run", tiny, "--in-process")
    lines = (tmp_path / "results/tiny/logs/progress.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d \S", line) for line in lines)
    assert [line.split(" ", 1)[1] for line in lines if "starting" in line] == [
        "starting: 0 of 5 trials done, 0 failed"
    ] * 2
    assert lines[-1].endswith(": 5 of 5 trials done, 0 failed")


def test_a_log_that_cannot_be_written_costs_no_trial(deadweight, tiny, tmp_path):
    (tmp_path / "results/tiny/logs/progress.log").mkdir(parents=True)
    code, out, _ = deadweight("run", tiny, "--in-process")
    assert (code, "10 of 10 have a record (10 ok)" in out) == (0, True)


@pytest.mark.usefixtures("faulty_methods")
def test_a_quiet_run_prints_errors_alone(deadweight, tiny, tmp_path):
    assert deadweight("run", tiny, "--in-process", "--quiet", "--keep") == (0, "", "")
    assert "10 of 10 trials done" in (tmp_path / "results/tiny/logs/progress.log").read_text()
    assert "10 of 10 trials have a record" in deadweight("status", tiny)[1]  # others speak again
    tiny.write_text(RAISES)
    assert deadweight("run", tiny, "--in-process", "--quiet") == (1, "", "")
    tiny.write_text(RAISES.replace("epochs", "epoch"))
    code, out, err = deadweight("run", tiny, "--in-process", "--quiet")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_one_process_has_no_worker_to_end(deadweight, tiny):
    code, _, err = deadweight("run", tiny, "--in-process", "--trial-minutes", "1")
    assert code == 2
    assert err == "deadweight: --trial-minutes ends a worker process, and there is none; leave out --in-process\n"


def test_status_as_json_counts_what_the_table_counts(deadweight, tiny):
    store = stored(tiny)
    for record in make_records(load_study(str(tiny)))[:7]:
        store.append(record)
    code, out, _ = deadweight("status", tiny, "--json")
    counts = json.loads(out)["evaluation"]
    assert code == 0
    assert list(counts) == ["dense", "implicit", "magnitude_filter"]
    assert sum(found.pop("left") for found in counts.values()) == 3
    assert sum(sum(found.values()) for found in counts.values()) == 7


def test_lists_as_json_name_what_the_tables_name(deadweight):
    methods = json.loads(deadweight("list", "--json")[1])
    assert methods["broken"] == {}
    assert methods["methods"]["magnitude_filter"]["base"] == "dense"
    assert methods["methods"]["implicit"]["knob"] == "strength"
    studies = json.loads(deadweight("list", "studies", "--json")[1])
    assert (studies["smoke"]["methods"], studies["smoke"]["seeds"]) == (3, 2)


def test_a_dry_run_estimates_core_hours_from_records_of_the_same_work(deadweight, tiny):
    study, store = load_study(str(tiny)), stored(tiny)
    assert "core-hours" not in deadweight("run", tiny, "--dry-run")[1]
    made = [r for r in make_records(study) if r.seed == 0]
    made = [r.model_copy(update={"train_seconds": 1800.0, "provenance": {"device": "cpu", "threads": 2}}) for r in made]
    for record in made:
        store.append(record)
    assert "5 of 10 trials to run, 4 epochs each, about 5 core-hours" in deadweight("run", tiny, "--dry-run")[1]
    todo = study.trials()[:2]
    assert core_hours(todo, [r for r in made if r.label == "implicit"]) == pytest.approx(2.0)
    assert core_hours(todo, [r.model_copy(update={"provenance": {"device": "A GPU"}}) for r in made]) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "on this machine's 8 cores, 5 at a time with 1 core each: about 1 hours"),
        (("--cpus-per-trial", "4"), "on this machine's 8 cores, 2 at a time with 4 cores each: about 0.62 hours"),
        (("--in-process",), "on this machine's 8 cores, 1 at a time with 1 core each: about 5 hours"),
        (("--gpus-per-trial", "1"), "on 1 GPUs and 1 core each: the hours are not known"),
        (("--address", "auto"), "on a cluster, 1 core each: as many at a time as it has room for"),
    ],
)
def test_a_dry_run_says_on_how_many_cores_and_how_long(deadweight, tiny, monkeypatch, options, words):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert "8 at a time with 1 core each: no records to tell the hours by" in deadweight("run", tiny, "--dry-run")[1]
    store = stored(tiny)
    for record in make_records(load_study(str(tiny))):
        if record.seed == 0:
            told = {"train_seconds": 1800.0, "provenance": {"device": "cpu", "threads": 2}}
            store.append(record.model_copy(update=told))
    assert words in deadweight("run", tiny, "--dry-run", *options)[1]


@pytest.mark.parametrize(
    "broken", [("--format", "onx"), ("--out", "there"), ("--out", "no/where"), ("--format", "onnx")]
)
def test_export_refuses_what_it_cannot_write_before_it_trains(deadweight, tiny, tmp_path, monkeypatch, broken):
    deadweight("run", tiny, "--in-process")
    (tmp_path / "there").mkdir()
    record = Store(tmp_path / "results" / "tiny").load()[0]
    monkeypatch.setattr(trial_module, "run_and_keep", lambda *_, **__: pytest.fail("it trains"))
    monkeypatch.setattr("benchmark.networks.export.PACKAGES", {"onnx": ("no_such_runtime",)})
    code, _, err = deadweight("export", tiny, record.key, *broken)
    assert (code, err.count("\n")) == (2, 1)


def test_export_trains_with_the_threads_of_the_record_and_says_where_it_differs(
    deadweight, tiny, tmp_path, monkeypatch
):
    deadweight("run", tiny, "--in-process")
    store = Store(tmp_path / "results" / "tiny")
    record = store.load()[0]
    others = {**record.provenance, "threads": 3, "cpu": "Another", "torch": "0.1"}
    store.path.write_text(
        record.model_copy(update={"provenance": others}).model_dump_json(exclude_defaults=True) + "\n"
    )
    threads, train = [], trial_module.run_and_keep

    def watched(*arguments, **options):
        threads.append(torch.get_num_threads())
        again, module = train(*arguments, **options)
        return again.model_copy(update={"test_accuracy": 0.5}), module

    monkeypatch.setattr(trial_module, "run_and_keep", watched)
    before = torch.get_num_threads()
    code, _, err = deadweight("export", tiny, record.key)
    assert (threads, torch.get_num_threads(), code) == ([3], before, 2)
    assert f"here the trial gives test_accuracy 0.5, not {record.test_accuracy}; here is " in err
    assert ", not Another" in err
    assert f"torch {torch.__version__}, not 0.1" in err


def test_a_new_study_loads_and_explains_every_key(deadweight, tmp_path):
    code, out, _ = deadweight("new", "study", "my_study")
    assert (code, "next: edit it, then deadweight run my_study.toml --dry-run" in out) == (0, True)
    text = (tmp_path / "my_study.toml").read_text()
    assert "NAME" not in text.replace("torchvision:NAME", "")
    assert load_study(str(tmp_path / "my_study.toml")).trials()
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    keys = {line.split("=")[0].strip() for line in lines if "=" in line}
    tables = " ".join(line for line in lines if line.startswith("["))
    for model in (Study, Protocol, Task, Conditions, Tuning, Published):
        for key in set(model.model_fields) - {"name", *HASHES}:
            assert key in keys or f"[{key}" in tables or f".{key}" in tables, key


def test_the_defaults_that_a_new_study_shows_are_the_models():
    """Uncommented, every line of protocol and task is read as TOML and is the default."""
    sections = (STUDIES / "_template.toml").read_text().split("\n\n")
    for model, heading in ((Protocol, "[protocol]"), (Task, "[[tasks]]")):
        section = next(part for part in sections if part.startswith(heading))
        shown = tomllib.loads("\n".join(line[2:] for line in section.splitlines() if line.startswith("# ")))
        for key, value in shown.items():
            default = model.model_fields[key].default
            assert (list(default) if isinstance(default, tuple) else default) == value or default is None


def test_check_prints_whole_tracebacks_on_request(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(FAULTY)}
    command = [sys.executable, "-c", "from benchmark.cli.main import main; main()", "check", "raises"]
    short, whole = (
        subprocess.run([*command, *more], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        for more in ((), ("--traceback",))
    )
    assert (short.returncode, whole.returncode) == (1, 1)
    assert "Traceback" not in short.stdout + short.stderr
    assert 'raise RuntimeError("deliberate' in whole.stderr

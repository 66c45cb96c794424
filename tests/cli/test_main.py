import os
import shutil
import subprocess
import sys

import pytest

from benchmark.cli.main import app
from benchmark.data import load as data
from benchmark.data.names import ENVIRONMENT
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.networks.export import load
from benchmark.networks.measure import parameters
from benchmark.runner.run import locked
from tests.support.made_data import make_images, make_mnist
from tests.support.made_records import make_records


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.usefixtures("sketched")
def test_run_status_plot_from_nothing(deadweight, tiny, tmp_path):
    code, out, _ = deadweight("run", tiny, "--dry-run")
    assert code == 0
    assert "10 of 10 trials to run" in out
    assert not (tmp_path / "results").exists()
    code, out, _ = deadweight("run", tiny, "--in-process")
    assert code == 0
    assert "10 of 10 have a record (10 ok)" in out
    code, out, _ = deadweight("run", tiny, "--in-process")
    assert "ran 0 trials" in out
    code, out, _ = deadweight("status", tiny)
    assert "10 of 10 trials have a record" in out
    code, out, _ = deadweight("plot", tiny)
    assert code == 0
    assert "Adam + L2 (implicit)" in out
    made = files(tmp_path / "results" / "tiny")
    assert {"table.md", "table.csv", "figures/pareto-simulated-mlp-8-param.png"} <= set(made)


@pytest.mark.usefixtures("sketched")
def test_plot_draws_the_dependence_on_the_threshold(deadweight, tiny, tmp_path):
    store = Store(tmp_path / "results" / "tiny")
    store.path.parent.mkdir(parents=True)
    for record in make_records(load_study(str(tiny))):
        store.append(record)
    assert deadweight("plot", tiny)[0] == 0
    drawn = {path.name for path in (store.path.parent / "figures").glob("thresholds-*")}
    assert drawn == {f"thresholds-simulated-mlp-8.{suffix}" for suffix in ("png", "pdf", "svg", "csv")}


def test_resume_completes_a_torn_file(deadweight, tiny, tmp_path):
    deadweight("run", tiny, "--in-process")
    path = tmp_path / "results" / "tiny" / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 40])
    code, out, _ = deadweight("run", tiny, "--in-process")
    assert code == 0
    assert "ran 1 trials; 10 of 10" in out
    assert path.read_bytes().count(b"\n") == 10


def test_lists(deadweight):
    code, out, _ = deadweight("list", "methods")
    assert code == 0
    assert "implicit" in out
    assert "arXiv:1812.08119" in out
    code, out, _ = deadweight("list", "studies")
    assert "digits" in out


def test_a_run_does_not_look_for_cudas_compiler(tiny):
    """torch warns on stderr of every command where it finds the compiler and no GPU."""
    code = (
        "import sys; from benchmark.cli.main import main\n"
        f"sys.argv = ['deadweight', 'run', {str(tiny)!r}, '--in-process']\n"
        "try: main()\n"
        "finally: print('torch.utils.cpp_extension' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tiny.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "ran 10 trials" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_every_command_has_help_with_an_example(deadweight):
    code, out, _ = deadweight("--help")
    assert code == 0
    commands = [command.name for command in app.registered_commands]
    assert len(commands) == 18
    for command in commands:
        assert command in out
        code, text, _ = deadweight(command, "--help")
        assert code == 0
        assert "Example: deadweight" in text


def test_records_of_removed_points_are_left_out_and_counted(deadweight, tiny):
    deadweight("run", tiny, "--in-process")
    tiny.write_text(tiny.read_text().replace("strength = [0.001, 0.1]", "strength = [0.001]"))
    _, out, _ = deadweight("status", tiny)
    assert "8 of 8 trials have a record" in out
    assert "2 records there are of trials the study no longer has" in out


def test_export_writes_what_the_record_says(deadweight, tiny, tmp_path):
    deadweight("run", tiny, "--in-process")
    record = next(r for r in Store(tmp_path / "results" / "tiny").load() if r.label == "magnitude_filter")
    code, out, _ = deadweight("export", tiny, record.key[:12])
    assert f"{100 * record.stage_accuracy['silenced']:.2f} % after silencing" in " ".join(out.split())
    assert code == 0
    assert f"{record.params} of {record.params_dense} parameters" in out
    assert "latency, batch 64, 1 threads" in out
    assert "peak activations, batch 64" in out
    network = load(tmp_path / f"magnitude_filter-{record.key[:8]}")
    assert parameters(network) == record.params
    code, _, err = deadweight("export", tiny, record.key[:12])
    assert code == 2
    assert "exists already" in err
    code, _, err = deadweight("export", tiny, "zzzz")
    assert code == 2
    assert "unknown record 'zzzz'" in err


def test_datasets_are_decoded_and_run_from_the_data_root(deadweight, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "unset")  # so that what the commands set is undone
    make_mnist(tmp_path / "root", train=200)
    tiny.write_text(tiny.read_text().replace("simulated", "mnist"))
    code, _, err = deadweight("run", tiny, "--in-process", "--data-root", "nowhere")
    assert code == 2
    assert f"`deadweight data mnist --data-root {tmp_path / 'nowhere'}` downloads it" in " ".join(err.split())
    assert not Store(tmp_path / "results" / "tiny").load()
    code, out, _ = deadweight("data", "mnist", "--data-root", "root")
    assert code == 0
    assert "200 images to train and validate on, 20 to test on, 1 × 28 × 28, 10 classes" in " ".join(out.split())
    assert deadweight("run", tiny, "--in-process", "--data-root", "root")[0] == 0
    (record,) = {r.task.name: r for r in Store(tmp_path / "results" / "tiny").load() if r.status == "ok"}.values()
    assert record.task.name == "mnist-mlp-8"
    assert str(tmp_path) not in record.model_dump_json(exclude={"provenance"})
    monkeypatch.setenv(ENVIRONMENT, "unset")
    code, _, err = deadweight("export", tiny, record.key[:12])
    assert (code, "dataset mnist is not in" in err) == (2, True)
    assert deadweight("export", tiny, record.key[:12], "--data-root", "root")[0] == 0


def test_data_answers_what_it_cannot_get(deadweight):
    assert "needs no download" in deadweight("data", "digits")[1]
    for own in ("npz:none.npz", "my_data.py:load"):
        assert deadweight("data", own)[1].startswith(f"{own} is your own, so there is nothing to download")
    code, _, err = deadweight("data", "mnits")
    assert (code, "unknown dataset 'mnits'; did you mean 'mnist'" in err) == (2, True)
    code, _, err = deadweight("data", "imagefolder:nowhere")
    assert (code, "nowhere does not exist" in err) == (2, True)


def test_reduce_takes_a_network_of_ones_own(deadweight, tmp_path):
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\n"
        "def small():\n"
        "    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))\n"
        "    net[0].weight.data[1:] = 0\n"
        "    return net\n"
    )
    code, out, _ = deadweight("reduce", "my_nets:small", "--threshold", "1e-6", "--shape", "1,8,8")
    assert code == 0
    assert "0: 1 of 4 channels" in out
    assert files(tmp_path / "reduced") == ["weights.pt", "widths.json"]
    code, _, err = deadweight("reduce", "my_nets:small", "--threshold", "1e-6", "--shape", "1,x")
    assert code == 2
    assert "is no list of sizes" in err
    code, _, err = deadweight("reduce", "my_nets:smal", "--threshold", "1e-6", "--shape", "1,8,8", "--out", "b")
    assert code == 2
    assert "no MODULE:FUNCTION" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "digit"], "did you mean 'digits'"),
        (["run", "nowhere.toml"], "does not exist"),
        (["status", "digitz"], "did you mean 'digits'"),
        (["plot", "digits"], "is not tuned yet"),
        (["plot", "smoke"], "has no records"),
        (["list", "method"], "did you mean 'methods'"),
        (["run", "../../etc/passwd"], "unknown study"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(deadweight, tmp_path, arguments, words):
    code, out, err = deadweight(*arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert out == ""
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "arguments", [["run", "--dry-rn"], ["run", "--cpus-per-trial", "two"], ["run", "--cpus-per-trial", "0"], ["rnu"]]
)
def test_bad_options_exit_with_2(deadweight, arguments):
    assert deadweight(*arguments)[0] == 2


def test_records_under_another_protocol_are_refused(deadweight, tiny, tmp_path):
    deadweight("run", tiny, "--in-process")
    before = (tmp_path / "results" / "tiny" / "records.jsonl").read_bytes()
    tiny.write_text(tiny.read_text().replace("epochs = 4", "epochs = 5"))
    code, _, err = deadweight("run", tiny, "--in-process")
    assert code == 2
    assert "made under another protocol (epochs 4 there, 5 here)" in err
    assert (tmp_path / "results" / "tiny" / "records.jsonl").read_bytes() == before


def test_a_foreign_line_is_named(deadweight, tiny, tmp_path):
    deadweight("run", tiny, "--in-process")
    with (tmp_path / "results" / "tiny" / "records.jsonl").open("a") as file:
        file.write("hello\n")
    for command in ("run", "status", "plot"):
        code, _, err = deadweight(command, tiny)
        assert code == 2
        assert "line 11 is not a record" in err


def test_a_file_that_is_none_of_records_is_left_as_it_is(deadweight, tiny, tmp_path):
    path = tmp_path / "results" / "tiny" / "records.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine\nand no line's end")
    code, _, err = deadweight("run", tiny, "--in-process")
    assert (code, "line 1 is not a record" in err) == (2, True)
    assert path.read_bytes() == b"mine\nand no line's end"


def test_a_results_folder_that_is_a_file_is_refused(deadweight, tiny, tmp_path):
    (tmp_path / "results").write_text("mine")
    code, _, err = deadweight("run", tiny, "--in-process")
    assert code == 2
    assert "is not writable" in err
    assert (tmp_path / "results").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_results_folder_without_permission_is_refused(deadweight, tiny, tmp_path):
    (tmp_path / "results").mkdir(mode=0o500)
    code, _, err = deadweight("run", tiny, "--in-process")
    assert code == 2
    assert "is not writable" in err


def test_two_runs_at_once_are_refused(deadweight, tiny, tmp_path):
    plan = load_study(str(tiny))
    with locked(tmp_path / "results" / plan.name):
        code, _, err = deadweight("run", tiny, "--in-process")
    assert code == 2
    assert "another run is writing" in err


def test_a_changed_dataset_does_not_mix_with_its_records(deadweight, tiny, tmp_path):
    make_images(tmp_path / "data" / "own")
    tiny.write_text(tiny.read_text().replace('"simulated"', '"imagefolder:own"'))
    assert deadweight("run", tiny, "--in-process")[0] == 0
    records = (tmp_path / "results" / "tiny" / "records.jsonl").read_bytes()
    shutil.rmtree(tmp_path / "data")
    make_images(tmp_path / "data" / "own", mode="L")
    data.load.cache_clear()
    data.decode.cache_clear()
    tiny.write_text(tiny.read_text().replace("[0.001, 0.1]", "[0.001, 0.1, 0.2]"))
    code, _, err = deadweight("run", tiny, "--in-process")
    assert (code, err.count("\n"), "imagefolder:own held other images or labels" in err) == (2, 1, True)
    assert (tmp_path / "results" / "tiny" / "records.jsonl").read_bytes() == records

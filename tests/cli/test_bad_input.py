"""Bad input is one line and exit code 2, at once, and leaves nothing behind."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from benchmark.data.names import ENVIRONMENT
from tests.conftest import TINY

NETS = """
import sys
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    net[0].weight.data[1:] = 0
    return net

def raises(): raise KeyError("no such\\nlayer")
def leaves(): sys.exit("enough")
def takes(width): return small()
def list_(): return [small()]
class Leaving(nn.Linear):
    def forward(self, x): raise SystemExit("bye")
def ends(): return Leaving(8, 3)
number = 3
"""
SMALL = ["--threshold", "1e-6", "--shape", "1,8,8"]
LONG = 300 * "a"


@pytest.fixture
def folder(tmp_path, tiny, monkeypatch):
    """What the commands below are given: networks, checkpoints and study files, some of them sound."""
    monkeypatch.setenv(ENVIRONMENT, "unset")  # so that what the commands set is undone
    (tmp_path / "bad_input_nets.py").write_text(NETS)
    (tmp_path / "bad_input_syntax.py").write_text("def small(:\n")
    (tmp_path / "bad_input_raises.py").write_text("raise RuntimeError('not\\ntoday')\n")
    (tmp_path / "bad_input_leaves.py").write_text("raise SystemExit('not today')\n")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "junk.pt").write_bytes(b"not a checkpoint at all")
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    torch.save(net, tmp_path / "whole.pt")
    torch.save({f"module.{name}": tensor for name, tensor in net.state_dict().items()}, tmp_path / "wrapped.pt")
    torch.save({f"_orig_mod.{name}": tensor for name, tensor in net.state_dict().items()}, tmp_path / "compiled.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    weights = net.state_dict()
    torch.save({**weights, "0.weight": weights["0.weight"].to_sparse()}, tmp_path / "sparse.pt")
    torch.save({**weights, "0.weight": weights["0.weight"].to(torch.complex64)}, tmp_path / "complex.pt")
    torch.save({**weights, "0.weight": "words"}, tmp_path / "words.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "deep.toml").write_text("a = " + 100_000 * "[")
    (tmp_path / "arrays.toml").write_text(TINY.replace('"simulated"', '"npz:none.npz"'))
    (tmp_path / "there").mkdir()
    (tmp_path / "...toml").write_text(TINY)
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    return tmp_path


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts)


def refused(deadweight, folder, arguments, words):
    before = names(folder)
    code, out, err = deadweight(*arguments)
    assert (code, out) == (2, ""), err
    assert err.startswith("deadweight: ")
    assert (err.count("\n"), words in err) == (1, True), err
    assert len(err) < 600 + 2 * len(LONG) * (LONG in err)
    assert names(folder) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reduce", "bad_input_nets", *SMALL], "is no MODULE:FUNCTION, such as my_nets:vgg"),
        (["reduce", ":small", *SMALL], "is no MODULE:FUNCTION"),
        (["reduce", "bad_input_nets:", *SMALL], "is no MODULE:FUNCTION"),
        (["reduce", "..:small", *SMALL], "is no MODULE:FUNCTION"),
        (["reduce", "no_such_nets:small", *SMALL], "No module named 'no_such_nets'"),
        (["reduce", "bad_input_nets:smal", *SMALL], "has no attribute 'smal'"),
        (["reduce", "bad_input_nets:number", *SMALL], "is a int, not a function"),
        (["reduce", "bad_input_nets:raises", *SMALL], "bad_input_nets:raises() fails: KeyError: "),
        (["reduce", "bad_input_nets:leaves", *SMALL], "bad_input_nets:leaves() fails: SystemExit: enough"),
        (["reduce", "bad_input_nets:takes", *SMALL], "missing 1 required positional argument: 'width'"),
        (["reduce", "bad_input_nets:list_", *SMALL], "returns a list, not a torch.nn.Module"),
        (["reduce", "bad_input_syntax:small", *SMALL], "SyntaxError: "),
        (["reduce", "bad_input_raises:small", *SMALL], "RuntimeError: not"),
        (["reduce", "bad_input_leaves:small", *SMALL], "SystemExit: not today"),
        (["reduce", "bad_input_nets:small", "--threshold", "1e-6", "--shape", "1,-8,8"], "is no list of sizes"),
        (["reduce", "bad_input_nets:small", "--threshold", "1e-6", "--shape", "3,99999,99999"], "do not fit in memory"),
        (["reduce", "bad_input_nets:small", "--threshold", "1e-6", "--shape", f"3,{10**12},{10**12}"], "do not fit in"),
        (["reduce", "bad_input_nets:small", "--threshold", "1e-6", "--shape", f"{10**30}"], "do not fit in memory"),
        (["reduce", "bad_input_nets:small", "--threshold", "1e-6", "--shape", "3,8,8"], "expected input"),
        (
            ["reduce", "bad_input_nets:small", "--threshold", "1e-6", "--shape", "8"],
            "cannot be traced on samples of shape (8,)",
        ),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "none.pt"], "checkpoint none.pt does not exist"),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "empty.pt"], "empty.pt is empty"),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "there"], "there is empty, or a folder"),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "junk.pt"], "is no file of plain weights"),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "whole.pt"], "torch.save(network.state_dict(), "),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "list.pt"], "holds a list, not a state dict"),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "wrapped.pt"], "every name begins with 'module.'"),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "compiled.pt"], "begins with '_orig_mod.'"),
        (
            ["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "sparse.pt"],
            "0.weight is no dense tensor of real",
        ),
        (
            ["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "complex.pt"],
            "0.weight is no dense tensor of real",
        ),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "words.pt"], "0.weight is no dense tensor of real"),
        (["reduce", "bad_input_nets:small", *SMALL, "--checkpoint", "pipe.pt"], "pipe.pt is no file"),
        (["reduce", "bad_input_nets.py:small", *SMALL], "did you mean 'bad_input_nets:small'?"),
        (["reduce", "bad_input_nets:ends", *SMALL], "SystemExit: bye"),
        (["reduce", "bad_input_nets:raises", *SMALL, "--out", "a.onnx"], "a.onnx is a name for the format onnx"),
        (["reduce", "bad_input_nets:small", *SMALL, "--format", "onx"], "did you mean 'onnx'"),
        (["reduce", "bad_input_nets:raises", *SMALL, "--format", "onx"], "did you mean 'onnx'"),
        (["reduce", "bad_input_nets:raises", *SMALL, "--out", "there"], "there exists already"),
        (["reduce", "bad_input_nets:raises", *SMALL, "--out", "no/where"], "no is no folder"),
        (["reduce", "bad_input_nets:raises", *SMALL, "--out", "/proc/reduced"], "cannot write /proc/reduced"),
        (["reduce", "bad_input_nets:raises", *SMALL, "--out", LONG], "File name too long"),
        (["run", "...toml"], "'..' cannot name a study"),
        (["run", ".toml"], "'' cannot name a study"),
        (["run", LONG], "at most 100 letters, not 300"),
        (["run", f"{LONG}.toml"], "at most 100 letters, not 300"),
        (["run", "folder.toml"], "cannot be read"),
        (["run", "binary.toml"], "cannot be read"),
        (["run", "deep.toml"], "cannot be read: maximum recursion depth"),
        (["run", "pipe.toml"], "it is no file"),
        (["run", "a\0b.toml"], "letters that cannot be printed"),
        (["run", "a\nb.toml"], "letters that cannot be printed"),
        (["run", "a\0/b.toml"], "cannot be read: embedded null byte"),
        (["run", "arrays.toml", "--dry-run"], "the study names npz:none.npz, and there is no /"),
        (["run", "arrays.toml", "--in-process"], "npz:none.npz: cannot read"),
        (["run", "tiny.toml", "--dry-run", "--gpus-per-trial", "inf"], "--gpus-per-trial inf is no number of GPUs"),
        (["run", "tiny.toml", "--dry-run", "--cpus-per-trial", "4096"], "4096 CPU cores, and this machine has"),
        (["run", "tiny.toml", "--in-process", "--cpus-per-trial", f"{10**11}"], "CPU cores, and this machine has"),
        (["run", "tiny.toml", "--in-process", "--address", "auto"], "leave out one of them"),
        (["reproduce", "slimming", "--in-process", "--cpus-per-trial", "4096"], "CPU cores, and this machine has"),
        (["reproduce", "slimming", "--in-process", "--data-root", "none"], "dataset mnist is not in"),
        (["run", ""], "'' cannot name a study"),
        (["status", LONG], "at most 100 letters"),
        (["plot", "...toml"], "'..' cannot name a study"),
        (["publish", "tiny"], "unknown study 'tiny'; did you mean 'tiny.toml'?"),
        (["run", "tiny"], "did you mean 'tiny.toml'?"),
        (["publish", "tiny.toml", "--out", "/proc/site"], "cannot write to /proc/site"),
        (["publish", "tiny.toml", "--out", "empty.pt/site"], "cannot write to empty.pt/site"),
        (["publish", "tiny.toml", "--out", "empty.pt"], "cannot write to empty.pt"),
        (["publish", "tiny.toml", "--out", LONG], "File name too long"),
        (["publish", "tiny.toml", "--out", "results/tiny"], "holds the records themselves"),
        (["publish", "tiny.toml", "--results", "/proc"], "cannot write to /proc/tiny"),
        (["run", "tiny.toml", "--in-process", "--results", "/proc"], "is not writable"),
        (["run", "tiny.toml", "--in-process", "--results", "empty.pt"], "is not writable"),
        (["dynamics", "--out", "/proc/dynamics"], "cannot write to /proc/dynamics"),
        (["new", LONG], "at most 60 letters, not 300"),
        (["new", LONG, "--package"], "at most 60 letters, not 300"),
        (["new", "study", LONG], "at most 100 letters, not 300"),
        (["new", "study", "digits"], "there is a study 'digits' already"),
        (["new", "study", "tiny"], "there is a study 'tiny' already"),
        (["new", "study", "a/b"], "cannot name a study"),
        (["new", "study", ".."], "'..' cannot name a study"),
        (["new", "study"], "give the name of a method, or `study` and the name of a study"),
        (["new", "a", "b"], "give the name of a method"),
        (["new", "study", "a", "--package"], "give the name of a method"),
        (["new", "torch", "--package"], "there is a Python package 'torch' already"),
        (["new", "benchmark", "--package"], "there is a Python package 'benchmark' already"),
        (["new", "json", "--package"], "there is a Python package 'json' already"),
        (["new", "My-Method"], "cannot name a method"),
        (["new", "é", "--package"], "cannot name a method"),
        (["new", "class"], "cannot name a method"),
        (["list", "methodz", "--json"], "did you mean 'methods'"),
        (["run", "tiny.toml", "--keep", "--in-process", "--results", "empty.pt"], "is not writable"),
        (["run", "no_such.toml", "--quiet"], "does not exist"),
        (["export", "tiny.toml", "--accuracy", "0.5"], "has no results in"),
    ],
)
def test_bad_arguments_are_one_line(deadweight, folder, arguments, words):
    refused(deadweight, folder, arguments, words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(deadweight, tiny):
    code, _, err = deadweight("run", tiny, "--in-process", "--gpus-per-trial", "1")
    assert (code, err) == (2, "deadweight: torch finds no GPU here; leave out --gpus-per-trial\n")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs = 4", "epochs = 1e23", "protocol.epochs: Input should be a valid integer, not 1e+23"),
        ("epochs = 4", f"epochs = {10**23}", "protocol.epochs: Input should be less than or equal to 1000000"),
        ("epochs = 4", "epochs = nan", "protocol.epochs: Input should be a valid integer"),
        ("epochs = 4", "epochs = true", "protocol.epochs: Input should be a valid integer"),
        ("epochs = 4", f"epochs = 4\nbatch_size = {10**20}", "protocol.batch_size"),
        ("epochs = 4", f"epochs = 4\ndecays = {10**20}", "protocol.decays"),
        ("epochs = 4", f"epochs = 4\nsplit_seed = {2**32}", "protocol.split_seed: it has to be a number from 0 to"),
        ("epochs = 4", "epochs = 4\nvalidation_share = 0.6\ntest_share = 0.6", "leave nothing to train on"),
        ("[0, 1]", "[99999999999999999999]", "seeds.0: Input should be less than 4294967296"),
        ("[0, 1]", "[0, 0]", "seed 0 is there twice"),
        ("[0, 1]", "3", "seeds: Input should be a valid list, not 3"),
        ("seeds =", "samples = 3\nseeds =", "grid has none"),
        ("seeds =", f'sampler = "random"\nsamples = {10**15}\nseeds =', "samples: Input should be less than or equal"),
        ("[8]", '["a"]', "tasks.0.widths.0"),
        ('"Tiny"', '" "', "its title is empty"),
        ("[methods.dense]", "[methods.dense]\ntitle = 3", "[methods.dense]: title = 3 is no text"),
        ("[methods.dense]", '[methods."a\\nb"]\nmethod = "dense"', "[methods.'a\\nb']: give it a label that can be"),
        ("[methods.dense]", '[methods.""]\nmethod = "dense"', "[methods.'']: give it a label that can be printed"),
        (
            "[methods.dense]",
            "[methods]\ndense = 3\n[methods.other]",
            "methods.dense: Input should be a valid dictionary",
        ),
        ("strength = [0.001, 0.1]", "strength = [nan]", "strength = nan is not a number"),
        ("strength = [0.001, 0.1]", "strength = {a = 1}", "strength = {'a': 1} is not a number"),
    ],
)
def test_bad_values_of_a_study_are_one_line_before_anything_runs(deadweight, tiny, old, new, words):
    assert old in TINY
    tiny.write_text(TINY.replace(old, new, 1))
    refused(deadweight, tiny.parent, ["run", tiny.name, "--dry-run"], words)


@pytest.mark.parametrize(
    ("crossed", "words"),
    [
        ('["a"]', "conditions: crossed takes two factors"),
        ('["a", "b"]', "crossed names the factor 'b', which is none of a"),
        ("3", "conditions.crossed: Input should be a valid list, not 3"),
    ],
)
def test_bad_conditions_do_not_print_the_study(deadweight, tiny, crossed, words):
    text = TINY.partition("[methods.magnitude_filter]")[0].replace("[0.001, 0.1]", "0.1")
    conditions = (
        f'[conditions]\nof = "implicit"\ncrossed = {crossed}\n[conditions.factors.a]\nsgd = {{optimizer = "sgd"}}\n'
    )
    tiny.write_text(text + conditions)
    refused(deadweight, tiny.parent, ["run", tiny.name, "--dry-run"], words)
    assert "sgd" not in deadweight("run", tiny.name, "--dry-run")[2]


@pytest.mark.parametrize(
    ("dataset", "shares", "words"),
    [
        ("simulated", "validation_share = 1e-9", "simulated has no validation samples with validation_share 1e-09 and"),
        ("simulated", "test_share = 1e-9", "simulated has no test samples"),
        ("simulated", "validation_share = 0.9999\ntest_share = 1e-5", "simulated has no train samples"),
        ("digits", "validation_share = 1e-9", "digits cannot be split by class: "),
        ("digits", "test_share = 1e-9", "digits cannot be split by class: "),
    ],
)
def test_shares_that_leave_a_split_without_samples_are_one_line(deadweight, tiny, dataset, shares, words):
    tiny.write_text(TINY.replace("epochs = 4", f"epochs = 4\n{shares}").replace("simulated", dataset))
    refused(deadweight, tiny.parent, ["run", tiny.name, "--in-process"], words)


@pytest.mark.parametrize("widths", ["[99999999999]", f"[{2**62}]"])
def test_a_network_that_does_not_fit_in_memory_is_one_line(deadweight, tiny, widths):
    tiny.write_text(TINY.replace("[8]", widths))
    code, _, err = deadweight("run", tiny, "--in-process")
    assert (code, err.count("\n"), "task simulated-mlp-" in err) == (2, 1, True), err
    assert not (tiny.parent / "results" / "tiny" / "records.jsonl").exists()


def test_a_method_that_leaves_python_at_its_import_leaves_the_commands_working(tmp_path):
    (tmp_path / "leaving.py").write_text("raise SystemExit('not today')\n")
    (tmp_path / "leaving-1.dist-info").mkdir()
    (tmp_path / "leaving-1.dist-info" / "METADATA").write_text("Name: leaving\nVersion: 1\n")
    points = "[deadweight.methods]\nleaving = leaving:Method\ndense = leaving:Method\n"
    (tmp_path / "leaving-1.dist-info" / "entry_points.txt").write_text(points)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from benchmark.method.registry import get_method, registry\n"
        "print(get_method('dense').__module__); print(registry().broken)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    module, broken = done.stdout.splitlines()
    assert module == "baselines.dense"  # a broken method of the same name does not replace it
    assert "'leaving': 'leaving:Method: SystemExit: not today'" in broken
    assert "'dense (leaving:Method)': 'leaving:Method: SystemExit: not today'" in broken


@pytest.mark.parametrize("options", [["--dry-run"], ["--in-process"]])
def test_networks_of_timm_without_timm_are_one_line(deadweight, tiny, monkeypatch, options):
    monkeypatch.setitem(sys.modules, "timm", None)
    tiny.write_text(TINY.replace('network = "mlp"\nwidths = [8]', 'network = "timm:resnet10t"'))
    refused(deadweight, tiny.parent, ["run", tiny.name, *options], "pip install 'deadweight[timm]'")

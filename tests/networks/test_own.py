"""Networks and weights of the user's own: what fits is used as it is, what does not is one line."""

import pytest
import torch
from torch import nn

from benchmark import own_files
from benchmark.errors import UsageError
from benchmark.networks import names
from benchmark.networks.build import build
from benchmark.networks.checkpoint import load_file
from tests.support.own_study import NETS, built

MANY = """
import sys
from torch import nn

def given(shape, classes, widths, activation, norm):
    net = nn.Linear(shape[0], classes)
    net.seen = shape, classes, widths, activation, norm
    return net

def every(**options):
    net = nn.Linear(2, 2)
    net.seen = options
    return net

def few(classes, *, widths=(5,)):
    net = nn.Linear(2, classes)
    net.seen = widths
    return net

kept = nn.Linear(2, 2)
calls = []

def same():
    calls.append(1)
    kept.calls = len(calls)
    return kept

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layer = nn.Linear(shape[0], classes)

def raises(shape):
    raise KeyError("no such\\nlayer")

def leaves(): sys.exit("enough")
def asks(shape, classes, depth): return kept
def positional(shape, /): return kept
def list_(): return [kept]
def kind(): return nn.Linear
def empty(): return nn.ReLU()
number = 3
"""


@pytest.fixture
def make(tmp_path):
    """Builds a network of a file's function, as a study that names it would."""

    def call(function, text=MANY, **options):
        (tmp_path / "nets.py").write_text(text)
        own = own_files.look_up(f"nets.py:{function}", tmp_path)
        return build(f"nets.py:{function}", (2,), 2, seed=0, sha256=own.sha256, **options)

    return call


def test_a_function_is_given_what_it_takes(make):
    options = {"widths": (3, 4), "activation": "gelu", "norm": "none"}
    assert make("given", **options).seen == ((2,), 2, (3, 4), "gelu", "none")
    assert make("given").seen == ((2,), 2, (), "relu", "batch")
    assert make("every").seen == {"shape": (2,), "classes": 2, "activation": "relu", "norm": "batch"}
    assert (make("few").seen, make("few", widths=(7,)).seen) == ((5,), (7,))
    assert make("Net").layer.in_features == 2


def test_initial_weights_are_the_seeds_and_leave_the_global_state(tmp_path, make):
    state = torch.get_rng_state()
    one, again = make("Net"), make("Net")
    other = build("nets.py:Net", (2,), 2, seed=1, sha256=own_files.get("nets.py:Net").sha256)
    assert torch.equal(one.layer.weight, again.layer.weight)
    assert not torch.equal(one.layer.weight, other.layer.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_its_file_keeps_never_comes_back_trained(make):
    first = make("same")
    nn.init.zeros_(first.weight)
    assert make("same").weight.abs().sum() > 0
    assert make("same").calls == 1  # the file is run anew


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        ("raises", {}, r"nets\.py:raises fails: KeyError: .*no such.* \(nets\.py:\d+\)"),
        ("leaves", {}, "nets.py:leaves fails: SystemExit: enough"),
        ("asks", {}, "asks for 'depth'; it can be given shape, classes, widths, activation, norm, by name"),
        ("positional", {}, "asks for 'shape'"),
        ("list_", {}, "returns a list, not a torch.nn.Module"),
        ("kind", {}, "returns a type, not a torch.nn.Module"),
        ("empty", {}, "returns a ReLU without parameters"),
        ("number", {}, "is a int, not a function"),
        ("nothing", {}, "has no attribute 'nothing'"),
        ("few", {"activation": "gelu"}, "takes no 'activation', and the task sets it"),
        ("few", {"norm": "none"}, "takes no 'norm', and the task sets it"),
        ("Net", {"widths": (3,)}, "takes no 'widths', and the task sets it"),
    ],
)
def test_a_function_that_does_not_fit_is_one_line(make, function, options, words):
    with pytest.raises(UsageError, match=words) as caught:
        make(function, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def build(:\n", "SyntaxError: "),
        ("raise RuntimeError('not\\ntoday')\n", r"RuntimeError: not \(nets\.py:1\)"),
        ("raise SystemExit('not today')\n", "SystemExit: not today"),
        ("import no_such_library\n", "No module named 'no_such_library'"),
        ("\0", "cannot be loaded: "),
        ("", "has no attribute 'build'"),
    ],
)
def test_a_file_that_fails_is_one_line(make, text, words):
    with pytest.raises(UsageError, match=words) as caught:
        make("build", text)
    assert "\n" not in str(caught.value)


def test_a_file_that_changes_or_goes_after_the_study_was_loaded_is_noticed(tmp_path, make):
    make("Net")
    sha256 = own_files.get("nets.py:Net").sha256
    (tmp_path / "nets.py").write_text(MANY + "\n")
    with pytest.raises(UsageError, match=r"nets\.py is not the file that it was \(SHA-256 "):
        build("nets.py:Net", (2,), 2, seed=0, sha256=sha256)
    (tmp_path / "nets.py").unlink()
    with pytest.raises(UsageError, match=r"cannot read .*nets\.py: No such file"):
        build("nets.py:Net", (2,), 2, seed=0, sha256=sha256)


def test_the_suite_s_networks_for_images_refuse_other_samples():
    assert build("mlp", (7,), 3, seed=0)(torch.zeros(2, 7)).shape == (2, 3)
    assert build("mlp", (2, 7), 3, seed=0)(torch.zeros(2, 2, 7)).shape == (2, 3)
    for name in ("lenet5", "resnet20", "torchvision:resnet18"):
        with pytest.raises(ValueError, match=r"needs images \(C × H × W\), and the samples have the shape \(2, 7\)"):
            build(name, (2, 7), 3, seed=0)


def test_networks_of_libraries_are_listed_and_timm_is_said_to_be_missing_where_it_is():
    found = names.listed()
    assert "torchvision:resnet18" in found["torchvision"]
    assert found["built in"] == list(names.NETWORKS)
    names.check("timm:resnet18")  # a record of it can be read without
    try:
        import timm  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match=r"pip install 'deadweight\[timm\]'"):
            build("timm:resnet18", (3, 32, 32), 10, seed=0)
    else:
        assert "timm:resnet18" in found["timm"]
        assert build("timm:resnet18", (1, 32, 32), 10, seed=0)(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
        with pytest.raises(ValueError, match="unknown network 'timm:resnet1'; did you mean"):
            build("timm:resnet1", (3, 32, 32), 10, seed=0)


@pytest.mark.parametrize("inside", [None, "state_dict", "model"])
def test_a_checkpoint_is_taken_alone_and_from_among_other_things(tmp_path, inside):
    state = built().state_dict()
    torch.save({inside: state, "epoch": 3} if inside else state, tmp_path / "a.pt")
    network = built(NETS.replace("first, second = widths", "first, second = widths[:2]"))
    nn.init.zeros_(network[0].weight)
    load_file(network, tmp_path / "a.pt")
    assert all(torch.equal(x, state[name]) for name, x in network.state_dict().items())


def test_a_checkpoint_with_numbers_that_are_none_is_one_line(tmp_path):
    state = built().state_dict()
    state["0.weight"][0] = torch.nan
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(UsageError, match=r"does not fit Sequential: 0\.weight is not finite"):
        load_file(built(), tmp_path / "a.pt")

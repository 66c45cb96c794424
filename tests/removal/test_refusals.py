"""What cannot be followed is refused in one line that says what it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmark.removal import remove_silent
from benchmark.removal.groups import find_groups
from benchmark.removal.labels import UntraceableError
from benchmark.removal.passes import reason_of

EXAMPLE = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


class Any(nn.Module):
    """Takes whatever comes behind its first input, which may lack."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x=None, *others):
        return self.last(self.first(EXAMPLE.to(self.first.weight) if x is None else x).relu())


EXAMPLES = {
    "an example is a tensor or a tuple of tensors, not a dict": {"x": EXAMPLE},
    "an example is a tensor or a tuple of tensors, not a ndarray": EXAMPLE.numpy(),
    "an example is a tensor or a tuple of tensors, not an empty tuple": (),
    "input 1 is a NoneType, not a tensor": (EXAMPLE, None),
    "input 0 is a tensor without samples": torch.tensor(1.0),
    "input 1 is a tensor without samples": (EXAMPLE, EXAMPLE[:0]),
    "input 0 is complex": EXAMPLE.to(torch.complex64),
    "input 0 is sparse": EXAMPLE.to_sparse(),
}


@pytest.mark.parametrize("see", [remove_silent, find_groups])
@pytest.mark.parametrize("fault", EXAMPLES)
def test_an_example_that_is_no_batch_is_refused(fault, see):
    with pytest.raises(UntraceableError, match=fault) as error:
        see(Any(), EXAMPLES[fault])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("see", [remove_silent, find_groups])
def test_a_layer_without_a_shape_is_refused(see):
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LazyLinear(2))
    with pytest.raises(UntraceableError, match=r"2\.weight has no shape yet: pass a batch through the network first"):
        see(network, EXAMPLE)


def test_an_example_may_hold_truth_values_and_be_a_list():
    assert remove_silent(Any(), [EXAMPLE, EXAMPLE > 0]).channels == {"first": 4}


def one_more(x):
    return x.relu() + 1


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")
def test_what_torch_script_says_last_is_the_reason():
    scripted = torch.jit.script(one_more)

    class Scripted(Any):
        def forward(self, x):
            return self.last(scripted(self.first(x)))

    with pytest.raises(UntraceableError, match=r"shape \(3,\): TorchScript code in it cannot be followed"):
        find_groups(Scripted(), EXAMPLE)
    lines = "The following operation failed in the TorchScript interpreter.\nTraceback\nRuntimeError: too long\n"
    assert reason_of(RuntimeError(lines)) == "RuntimeError: too long"


class Bare(Any):
    """Returns a hidden layer beside its logits."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def forward(self, x):
        hidden = self.first(x)
        return self.last(hidden.relu()), self.wrap(hidden)


@pytest.mark.parametrize("wrap", [lambda x: SimpleNamespace(hidden=x), lambda x: {"a": [{x}]}, lambda x: lambda: x])
def test_outputs_that_are_not_looked_into_are_refused(wrap):
    with pytest.raises(UntraceableError, match=r"returns a \w+, in which tensors are not seen"):
        remove_silent(Bare(wrap), EXAMPLE)


def test_outputs_that_are_looked_into_keep_their_channels():
    network = Bare(lambda x: {"hidden": [x, None, 1, 1.5, "a"], "shape": x.shape, "kind": (x.dtype, x.device)})
    network.first.weight.data[1] = 0
    assert remove_silent(network, EXAMPLE).module(EXAMPLE)[1]["hidden"][0].shape == (4, 4)

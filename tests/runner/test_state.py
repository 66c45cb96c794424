"""A training begun anew is brought to the state that another one had, whatever is made of which objects."""

import math
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.method import Method, training
from benchmark.networks.build import build
from benchmark.networks.names import NETWORKS
from benchmark.removal.groups import find_groups
from benchmark.runner.state import State, UncapturableError, capture, restore
from benchmark.runner.stored import UnfitError, pack, unpack


@dataclass
class Notes:
    mean: torch.Tensor
    seen: list[float] = field(default_factory=list)


class Holder(Method):
    """Holds what it is given."""

    title, reference, knob, space = "Holder", "test", None, training("sgd", 0.1)

    def __init__(self, **values):
        super().__init__(torch.Generator().manual_seed(0))
        vars(self).update(values)


def moved(one, other):
    """`other`, brought to the state of `one` by way of a file."""
    state = capture({"method": one})
    about, tensors = unpack(pack("key", {"structure": state.structure}, state.tensors), "key", {})
    restore(State(about["structure"], tensors), {"method": other})
    return other


def tensor(*values):
    return torch.tensor(values)


def test_values_of_every_kind_come_back():
    values = {
        "number": 0.1 + 0.2,
        "infinite": [math.inf, -math.inf],
        "count": 3,
        "flag": True,
        "nothing": None,
        "words": "ξ",
        "nested": {"a": [1, (2.0, None)], 3: tensor(1, 2), None: tensor()},
        "types": [torch.float16, torch.device("cpu"), F.relu, torch.relu, nn.Linear],
        "notes": Notes(tensor(1.5), [0.5]),
        "size": torch.Size([2, 3]),
        "empty": tensor(),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
    }
    fresh = Holder(types=[*values["types"]], notes=Notes(tensor(0.0)), size=torch.Size([2, 3]), surplus=1)
    found = vars(moved(Holder(**values), fresh))
    assert "surplus" not in found
    assert torch.equal(found["nested"].pop(3), tensor(1, 2))
    assert found["nested"].pop(None).numel() == 0
    assert {k: found[k] for k in list(values)[:6]} == {k: values[k] for k in list(values)[:6]}
    assert found["nested"] == {"a": [1, (2.0, None)]}
    assert found["types"] == values["types"]
    assert (found["notes"].mean, found["notes"].seen) == (tensor(1.5), [0.5])
    assert found["scalar"].dtype == torch.float64


def test_tensors_are_filled_where_they_are_and_made_where_there_are_none():
    masks = [tensor(1.0), tensor(1.0)]
    fresh = Holder(masks=[*masks], pair=(masks[0], None))
    found = moved(Holder(masks=[tensor(2.0), tensor(3.0, 4.0), tensor(5)], pair=(tensor(6.0), tensor(7.0))), fresh)
    assert found.masks[0] is masks[0]
    assert masks == [tensor(2.0), tensor(1.0)]  # of the second there was none of this size
    assert [mask.tolist() for mask in found.masks] == [[2.0], [3.0, 4.0], [5]]
    assert [part.tolist() for part in found.pair] == [[6.0], [7.0]]  # and what was one object are two


def test_what_was_one_object_is_one_again():
    weight, layer = nn.Parameter(tensor(1.0)), nn.Linear(1, 1)
    one = Holder(first=weight, layer=layer, last=[weight, layer.weight], own={weight: 1.0, layer.bias: [2]})
    fresh = Holder(first=nn.Parameter(tensor(0.0)), layer=nn.Linear(1, 1), last=[], own={})
    first = fresh.first
    found = moved(one, fresh)
    assert found.first is found.last[0] is first
    assert found.last[1] is found.layer.weight
    assert torch.equal(found.layer.weight, layer.weight)
    assert found.own == {first: 1.0, found.layer.bias: [2]}


def test_views_stay_views():
    def make(value):
        whole = torch.full((4,), value)
        return Holder(whole=whole, part=whole[1:3], rest=[*torch.full((4,), value).split(2)])

    found = moved(make(2.0), make(1.0))
    found.whole.zero_()
    assert found.part.tolist() == [0.0, 0.0]
    assert [part.tolist() for part in found.rest] == [[2.0, 2.0], [2.0, 2.0]]
    bare = Holder(whole=torch.zeros(4), part=None, rest=[])
    with pytest.raises(UnfitError, match="nothing here is like its a Tensor of"):
        moved(make(2.0), bare)
    assert bare.part is None
    assert bare.whole.tolist() == [0.0] * 4


def test_memory_keeps_its_order():
    image = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    found = moved(Holder(made=image, there=image.clone()), Holder(made=None, there=torch.zeros_like(image)))
    assert found.made.stride() == found.there.stride() == image.stride()
    assert torch.equal(found.made, image)


def test_gradients_and_whether_there_are_any_come_back():
    one, other = (Holder(trained=nn.Parameter(tensor(1.0)), held=nn.Parameter(tensor(1.0))) for _ in range(2))
    one.trained.grad, one.held.requires_grad = tensor(3.0), False
    other.held.grad = tensor(1.0)
    found = moved(one, other)
    assert found.trained.grad == 3
    assert not found.held.requires_grad


def test_a_generator_goes_on_where_it_was():
    one, other = Holder(), Holder()
    torch.rand(5, generator=one.generator)
    moved(one, other)
    assert torch.equal(torch.rand(3, generator=one.generator), torch.rand(3, generator=other.generator))


def make_hook(layer):
    return layer.register_forward_hook(lambda module, inputs, output: output)


def test_hooks_are_the_fresh_ones_own():
    def make(hooks):
        layer = nn.Linear(1, 1)
        return Holder(layer=layer, hooks=[make_hook(layer) for _ in range(hooks)])

    moved(make(1), make(1))
    with pytest.raises(UnfitError, match="Linear with 1 hooks"):
        moved(make(1), make(0))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "method.held is a set"),
        (lambda: 1, "method.held is a function"),
        ([partial(max, 1)], r"method.held\[0\] is a partial"),
        ({"a": object()}, "method.held.a is a object"),
        ([].append, "method.held is a builtin_function_or_method"),
        (torch.zeros(2, requires_grad=True) * 2, "method.held is a tensor of another kind, or part of a graph"),
        (torch.zeros(1).expand(3), "another kind"),
        (torch.zeros(2, dtype=torch.bfloat16), "another kind"),
        (torch.zeros(2, 2).to_sparse(), "another kind"),
        ({torch.zeros(1): 1}, "a key of method.held is a Tensor"),
        (math.nan + 1j, "method.held is a complex"),
    ],
)
def test_what_cannot_be_captured_is_named(value, words):
    with pytest.raises(UncapturableError, match=words):
        capture({"method": Holder(held=value)})


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_can_be_captured(network):
    shape = (3, 32, 32)
    module = build(network, shape, 4, seed=0, widths=(8,) if network == "mlp" else ())
    net = find_groups(module, torch.rand(2, *shape))
    state = capture({"net": net})
    other = find_groups(
        build(network, shape, 4, seed=1, widths=(8,) if network == "mlp" else ()), torch.rand(2, *shape)
    )
    restore(state, {"net": other})
    expected = module.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in other.module.state_dict().items())


@pytest.mark.parametrize("structure", [[], ["same", 3], ["take"], ["plain"], ["list", 1, 2], {"a": 1}, 3, "plain"])
def test_a_structure_of_another_kind_does_not_fit(structure):
    with pytest.raises(UnfitError):
        restore(State(structure, {}), {"method": Holder()})

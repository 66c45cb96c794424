"""Copies of modules: nothing is shared but what is replaced, and nothing is told apart that was one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from benchmark.removal.tensors import copy_with, tensors_of


class Holding(nn.Module):
    """Holds a tensor, a layer and a list under two names each."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.table, self.names = {"kept": [torch.ones(2)]}, ["a"]
        self.again, self.same = [self.layer, self.table["kept"][0]], self.names


class Own(nn.Linear):
    """Says itself how it is copied."""

    def __deepcopy__(self, memo):
        twin = Own(self.in_features, self.out_features)
        twin.copied = True
        return twin


def test_a_copy_keeps_what_is_one_and_shares_nothing_else():
    module = Holding()
    twin = copy_with(module, Tensor.clone)
    assert twin.again[0] is twin.layer is not module.layer
    assert twin.again[1] is twin.table["kept"][0] is not module.table["kept"][0]
    assert twin.same is twin.names is not module.names
    twin.layer.register_forward_hook(print)
    twin.layer.training = False
    assert not module.layer._forward_hooks
    assert module.layer.training


def test_every_tensor_is_replaced_once():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.LSTM(2, 3), Holding())
    module[3].layer.weight = nn.Parameter(torch.zeros(3, 3))
    module.append(module[0])
    replaced: list[int] = []
    copy_with(module, lambda tensor: [tensor, replaced.append(id(tensor))][0])
    assert len(replaced) == len(set(replaced)) == len(tensors_of(module))
    assert set(replaced) >= {id(tensor) for tensor in (*module.parameters(), *module.buffers())}


def test_a_module_that_copies_itself_does():
    module = nn.Sequential(Own(2, 3), nn.ReLU())
    assert copy_with(module, Tensor.clone)[0].copied


def test_a_copy_of_a_compiled_layer_runs_its_own_code():
    module = nn.Sequential(nn.Linear(2, 3))
    call = module[0]._call_impl
    module[0]._compiled_call_impl = lambda x: call(x)  # as Module.compile leaves it, a function of the layer itself
    twin, x = copy_with(module, torch.zeros_like), torch.randn(4, 2)
    assert not twin(x).any()
    assert module(x).any()


def test_copies_compute_the_same_and_hold_hooks_and_modes():
    module = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.GRU(4, 3), nn.MultiheadAttention(3, 1))
    module[0].register_forward_hook(lambda layer, inputs, output: output + 1)
    torch.nn.utils.parametrizations.weight_norm(module[0])
    module.eval()
    twin, other, x = copy_with(module, Tensor.clone), copy.deepcopy(module), torch.randn(3, 2, 6)
    assert type(twin[0]) is type(other[0])
    assert torch.equal(twin[:2](x), other[:2](x))
    assert not any(part.training for part in twin.modules())
    y = torch.randn(5, 2, 4)
    assert torch.equal(twin[2](y)[0], module[2](y)[0])

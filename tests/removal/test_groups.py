"""Channel groups against networks whose groups are written down here."""

from __future__ import annotations

import torch
from torch import nn

from benchmark.removal.groups import find_groups


class Block(nn.Module):
    """A stem, a residual block with a projection, and two readers of its stream."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 1)
        self.inner, self.norm, self.outer = nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 6, 1)
        self.shortcut = nn.Conv2d(4, 6, 1)
        self.left, self.right = nn.Conv2d(6, 2, 1), nn.Conv2d(6, 2, 1)
        self.head = nn.Linear(4 * 9, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        x = self.shortcut(x) + self.outer(self.norm(self.inner(x)).relu())
        return self.head(torch.cat([self.left(x), self.right(x)], 1).flatten(1))


def names(sites) -> set[str]:
    return {site.name for site in sites}


def test_writers_norms_and_readers_of_a_residual_block():
    net = find_groups(Block(), torch.randn(2, 1, 3, 3))
    found = {g.name: (g.size, names(g.writers), names(g.norms), names(g.readers)) for g in net.groups}
    assert found == {
        "stem": (4, {"stem"}, set(), {"inner", "shortcut"}),
        "inner": (3, {"inner"}, {"norm"}, {"outer"}),
        "shortcut": (6, {"shortcut", "outer"}, set(), {"left", "right"}),
        "left": (2, {"left"}, set(), {"head"}),
        "right": (2, {"right"}, set(), {"head"}),
    }
    assert net.hidden_channels == 17
    assert net.kept_whole == {}


def test_norms_of_a_channel_are_taken_over_all_its_weights():
    module = Block()
    net = find_groups(module, torch.randn(2, 1, 3, 3))
    groups = {group.name: group for group in net.groups}
    stream, right = groups["shortcut"], groups["right"]
    incoming = torch.cat([module.shortcut.weight.flatten(1), module.outer.weight.flatten(1)], 1)
    assert torch.allclose(stream.incoming_norms(), incoming.norm(dim=1))
    assert stream.fan_in.tolist() == [4 + 3] * len(stream.fan_in)
    outgoing = module.head.weight.view(3, 4, 9)[:, 2:].transpose(0, 1).flatten(1)
    assert torch.allclose(right.outgoing_norms(1), outgoing.abs().sum(1))


def test_norms_and_zeroing_meet_the_right_weights_of_a_grouped_convolution():
    module = nn.Sequential(nn.Conv2d(1, 6, 1), nn.Conv2d(6, 4, 1, groups=2), nn.Flatten(), nn.Linear(36, 2))
    group = find_groups(module, torch.randn(2, 1, 3, 3)).groups[0]
    weight = module[1].weight.flatten(1)  # outputs 0, 1 read inputs 0 to 2; outputs 2, 3 read inputs 3 to 5
    expected = torch.cat([weight[:2].norm(dim=0), weight[2:].norm(dim=0)])
    assert torch.allclose(group.outgoing_norms(), expected)


def test_silencing_takes_weights_biases_scales_and_shifts_of_the_doomed_alone():
    module = Block()
    (inner,) = [g for g in find_groups(module, torch.randn(2, 1, 3, 3)).groups if g.name == "inner"]
    before = {k: v.clone() for k, v in module.state_dict().items()}
    doomed = torch.tensor([False, True, False])
    inner.silence(doomed)
    for name, tensor in module.state_dict().items():
        if name in ("inner.weight", "inner.bias", "norm.weight", "norm.bias"):
            assert not tensor[1].any()
            assert torch.equal(tensor[~doomed], before[name][~doomed])
        else:
            assert torch.equal(tensor, before[name])


def test_groups_that_meet_only_later_become_one():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.d = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.d(torch.cat([self.a(x), self.b(x)], 1) + self.c(x))

    net = find_groups(Late(), torch.randn(5, 2))
    assert [(group.name, group.size, names(group.writers)) for group in net.groups] == [("a", 4, {"a", "b", "c"})]


def test_scaling_reaches_incoming_and_outgoing_weights_of_a_channel_alone():
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 3)
    )
    net = find_groups(network, torch.zeros(2, 2, 8, 8))
    for group in net.groups:
        factors = 1.0 + torch.arange(group.size)
        incoming, outgoing = group.incoming_norms(), group.outgoing_norms()
        group.scale_incoming(factors)
        torch.testing.assert_close(group.incoming_norms(), incoming * factors)
        torch.testing.assert_close(group.outgoing_norms(), outgoing)
        group.scale_outgoing(factors)
        torch.testing.assert_close(group.outgoing_norms(), outgoing * factors)
        assert group.fan_out.sum() == sum(site.layer.weight.numel() for site in group.readers)


def test_hidden_channels_of_layers_without_a_rule_are_counted_and_kept():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.hidden, self.out = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.out(self.hidden(self.cells(x)[0][:, -1]).relu())

    net = find_groups(Recurrent(), torch.randn(2, 7, 3))
    assert net.hidden_channels == 5 + 4
    assert net.kept_whole == {"cells": "it is no plain linear or convolutional layer"}
    upward = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 6, 2), nn.Conv2d(6, 2, 1))
    assert find_groups(upward, torch.randn(2, 1, 6, 6)).hidden_channels == 4 + 6

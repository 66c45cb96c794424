"""The control for pruning as such: the reduced shape, trained from scratch.

Objective: loss + (λ/2) ‖all parameters‖², as `dense`. Before training the `ratio` of every group's channels, drawn
uniformly, is silenced wholly, and after every step again: what trains is the network of the reduced width, for all
epochs of the protocol. Trained by momentum SGD unless a study says otherwise. Source: Liu et al. 2019, section 3,
whose Scratch-E has the same number of epochs. Deviations: the same ratio in every layer; initial weights are drawn
for the dense width, so a layer that reads a narrowed one starts smaller than it would by its own fan-in. The default
grid of ratios, from nearly none to nearly all, is ours.
"""

import torch

from benchmark.method import Method, Real, lowest, training


class Scratch(Method):
    """A narrower network, trained from its initial weights."""

    title = "From scratch"
    reference = "Liu et al. 2019, arXiv:1810.05270"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "strength": Real(5e-4, 0, 1, log=True),
        **training("momentum", 0.1),
    }

    def prepare(self, net, steps):
        self.doomed = []
        for group in net.groups:
            doomed = lowest(torch.rand(group.size, generator=self.generator), self.ratio)
            self.doomed.append(doomed.to(group.writers[0].layer.weight.device))
            group.silence(self.doomed[-1])

    def configure_optimizer(self, net):
        return self.build_optimizer(net.module.parameters(), weight_decay=self.strength)

    def after_step(self, net, lr):
        for group, doomed in zip(net.groups, self.doomed, strict=True):
            group.silence(doomed)

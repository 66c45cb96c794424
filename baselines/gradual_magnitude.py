"""Gradual magnitude: within one training, ever more of the smallest channels go, on a cubic schedule.

Rule: at step t of the first three quarters T of training, s_t = s_f (1 − (1 − t/T)³) of every group's channels are
silent, those with the lowest ‖w_k‖₁ over the incoming weights; s_f is the `ratio`. A silent channel is so wholly,
from incoming weights to γ and β, and stays so. Trained by momentum SGD unless a study says otherwise. Source: Zhu and
Gupta 2017, equation 1, with initial sparsity 0 and the ramp from the start. Deviations: channels where they mask
single weights, and a new mask whenever the schedule calls for one more channel where they set one every 100 steps or
so; the last quarter, at full sparsity, is as long as the default share of fine-tuning. The default grid of ratios,
from nearly none to nearly all, is ours.
"""

import torch

from benchmark.method import Method, Real, lowest_channels, pools, scope, share_of, training

RAMP = 0.75  # share of the training steps in which sparsity grows


class GradualMagnitude(Method):
    """Filter magnitude pruning while training."""

    title = "Gradual magnitude"
    reference = "Zhu and Gupta 2017, arXiv:1710.01878"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "scope": scope("layer"),
        **training("momentum", 0.1),
    }

    def prepare(self, net, steps):
        self.step, self.ramp = 0, max(RAMP * steps, 1)
        self.doomed = [torch.zeros_like(group.incoming_norms(), dtype=torch.bool) for group in net.groups]
        self.sizes = [sum(net.groups[i].size for i in pool) for pool in pools(net, self.scope)]
        self.counts = [0] * len(self.sizes)

    @torch.no_grad()
    def after_step(self, net, lr):
        self.step += 1
        ratio = self.ratio * (1 - (1 - min(self.step / self.ramp, 1)) ** 3)
        counts = [share_of(size, ratio) for size in self.sizes]
        if counts != self.counts:
            self.counts = counts
            norms = [group.incoming_norms(p=1) for group in net.groups]
            self.doomed = lowest_channels(net, norms, ratio, self.scope)
        for group, doomed in zip(net.groups, self.doomed, strict=True):
            group.silence(doomed)

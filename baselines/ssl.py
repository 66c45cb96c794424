"""Structured sparsity learning: a trained network learns on with a group lasso, then loses what is left small.

Objective: loss + λ Σ_g ‖w_g‖₂, g the incoming weights of one hidden channel, without a size factor. Starts from the
dense network, half-way. Silenced: every single weight with |w| < 1e-4 in the layers that write hidden channels; the
zeros stay while the network is fine-tuned without the penalty, and a channel goes once all its weights are zero.
Source: Wen et al. 2016, section 3, filter-wise; 1e-4 as in the published code. Where a task has single features, they
are groups too, of the weights that read them, as in their MLP; their step follows that of the channels, whose weights
they share. λ's default range is ours, found by what it removes. Optimisers are SGD's kinds. Deviation: proximal steps
of the optimiser's own size, w_g ← w_g (1 − sλ / ‖w_g‖₂)₊ with s = η / (1 − μ) at learning rate η and momentum μ, where
they add the gradient λ w_g / ‖w_g‖₂; that one moves a dead channel to and fro by sλ, far above 1e-4 at the learning
rates that methods here share, so that nothing would go.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Method, Real, Threshold, shrink, shrink_outgoing, training


class SSL(Method):
    """Group lasso from a trained network, with masked fine-tuning."""

    title = "SSL"
    reference = "Wen et al. 2016, arXiv:1608.03665"
    knob = "strength"
    space = {
        "strength": Real(0.1, 0, 1000, log=True, grid=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0)),
        "threshold": Threshold(1e-4),
        **training("momentum", 0.1, DESCENT),
    }
    base = "dense"
    trains_base = True
    fine_tunes = True
    version = 2

    def after_step(self, net, lr):
        for group in net.groups:
            shrink(group, self.step_size(lr) * self.strength)
        for group in net.features:
            shrink_outgoing(group, self.step_size(lr) * self.strength)

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        for group in net.groups:
            for site in group.writers:
                weight = site.layer.weight
                weight[weight.abs() < self.threshold] = 0

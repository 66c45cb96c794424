"""Sparse group lasso by proximal steps.

Objective: loss + λ Σ_g √|g| ‖w_g‖₂ + λ ‖W‖₁; g the incoming weights of one hidden channel, |g| their number, and W
the weights of all linear and convolutional layers, no biases, no norms. After each optimiser step at learning rate η,
first W ← sign(W) (|W| − ηλ)₊, then w_g ← w_g (1 − ηλ√|g| / ‖w_g‖₂)₊: together the exact proximal step of the sum, and
zeros are exact. Source: Simon et al. 2013 for the penalty; Scardapane et al. 2017, section 3, for the one λ before
both terms. λ's default range is ours, found by what it removes. Deviations: incoming weights where Scardapane et al.
group the outgoing ones, and proximal steps.
"""

import torch

from benchmark.method import Method, Real, shrink, soft_threshold, training


class SparseGroupLasso(Method):
    """Proximal group lasso and L1 together."""

    title = "Sparse group lasso"
    reference = "Simon et al. 2013, doi:10.1080/10618600.2012.681250; Scardapane et al. 2017, arXiv:1607.00485"
    knob = "strength"
    space = {
        "strength": Real(2e-3, 0, 10, log=True, grid=(3e-4, 1e-3, 2e-3, 4e-3, 1e-2, 3e-2)),
        **training("momentum", 0.1),
    }

    @torch.no_grad()
    def after_step(self, net, lr):
        soft_threshold(net.weights, lr * self.strength)
        for group in net.groups:
            shrink(group, lr * self.strength * group.fan_in**0.5)

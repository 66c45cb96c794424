"""Sparse group lasso by proximal steps.

Objective: loss + λ Σ_g √|g| ‖w_g‖₂ + λ ‖W‖₁; g the incoming weights of one hidden channel, |g| their number, and W the
weights of all linear and convolutional layers, no biases, no norms. After each optimiser step, first W ← sign(W) (|W| −
sλ)₊, then w_g ← w_g (1 − sλ√|g| / ‖w_g‖₂)₊: together the exact proximal step of the sum, and zeros are exact; s = η /
(1 − μ) at learning rate η and momentum μ, the size of the optimiser's own step. Optimisers are SGD's kinds. Source:
Simon et al. 2013 for the penalty; Scardapane et al. 2017, section 3, for the one λ before both terms; Yun, Lozano and
Yang 2021 for s. λ's default range is ours, found by what it removes. Deviations: incoming weights where Scardapane et
al. group the outgoing ones, and proximal steps; where a task has single features, they are no groups.
"""

import torch

from benchmark.method import DESCENT, Method, Real, shrink, soft_threshold, training


class SparseGroupLasso(Method):
    """Proximal group lasso and L1 together."""

    title = "Sparse group lasso"
    reference = "Simon et al. 2013, doi:10.1080/10618600.2012.681250; Scardapane et al. 2017, arXiv:1607.00485"
    knob = "strength"
    space = {
        "strength": Real(2e-4, 0, 10, log=True, grid=(3e-5, 1e-4, 2e-4, 4e-4, 1e-3, 3e-3)),
        **training("momentum", 0.1, DESCENT),
    }
    version = 2

    @torch.no_grad()
    def after_step(self, net, lr):
        strength = self.step_size(lr) * self.strength
        soft_threshold(net.weights, strength)
        for group in net.groups:
            shrink(group, strength * group.fan_in**0.5)

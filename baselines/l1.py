"""L1 regularisation by proximal steps.

Objective: loss + λ ‖W‖₁ over the weights of all linear and convolutional layers, no biases, no norms. After each
optimiser step at learning rate η, W ← sign(W) (|W| − ηλ)₊, so zeros are exact; a channel is silent once all its
incoming weights are zero. Source: Tibshirani 1996; Parikh and Boyd 2014, section 6.5.2 for the step. λ's range is ours:
a weight before batch norm is scale-invariant, so it must be large before anything is removed.
"""

import torch
from torch.nn.functional import softshrink

from benchmark.method import Method, Real, training


class L1(Method):
    """Proximal L1."""

    title = "L1"
    reference = "Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x"
    knob = "strength"
    space = {
        "strength": Real(1e-3, 0, 10, log=True, grid=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
        **training("momentum", 0.1),
    }

    @torch.no_grad()
    def after_step(self, net, lr):
        for weight in net.weights:
            weight.copy_(softshrink(weight, lr * self.strength))

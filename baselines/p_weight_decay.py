"""p-norm weight decay (pWD): a decay apart from the gradient, as AdamW's, that shrinks small weights faster.

Rule: after the optimiser's step, w ← w X / (X + p s λ) with X = |w_old|^(2 − p), w_old the weight before the step; s =
η / (1 − μ) at learning rate η and momentum μ, η for Adam. It is the minimiser of ½ (u − w)² + sλ (p/2) u² / X, whose
second term bounds sλ |u|^p from above but for a constant, and meets it in w_old. Where SGD's kinds rest, loss + λ Σ
|w|^p is stationary; under Adam it is not, as with AdamW (PAdam). On the weights of all linear and convolutional layers,
no biases, no norms; no groups, no size factor. Silenced: every single weight with |w| < ξ; a channel goes once all its
incoming weights are zero. Source: Outmezguine and Levi 2024, PAdam, with their p = 0.8. λ's default range is ours,
found by what it removes; so are ξ and the learning rate.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Method, Real, Threshold, training


class PWeightDecay(Method):
    """Decoupled decay of an Lp norm."""

    title = "pWD"
    reference = "Outmezguine and Levi 2024, arXiv:2404.10824"
    knob = "strength"
    space = {
        "strength": Real(5e-2, 0, 100, log=True, grid=(3e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.2)),
        "power": Real(0.8, 0.1, 2),  # p
        "threshold": Threshold(1e-4),
        **training("adam", 0.01, ("adam", *DESCENT)),
    }

    @torch.no_grad()
    def prepare(self, net, steps):
        self.old = [weight.clone() for weight in net.weights]

    @torch.no_grad()
    def after_step(self, net, lr):
        amount = self.power * self.step_size(lr) * self.strength
        if amount == 0:
            return
        for weight, old in zip(net.weights, self.old, strict=True):
            length = old.abs_().pow_(2 - self.power)
            old.copy_(weight.mul_(length.div_(length + amount)))

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        for weight in net.weights:
            weight[weight.abs() < self.threshold] = 0

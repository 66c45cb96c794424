"""spred: every weight as a product of two, with plain L2 on both: L1 in disguise.

Objective: loss + (λ/2) (‖u‖₂² + ‖v‖₂²) with W = u ⊙ v for the weights of all linear and convolutional layers, no
biases, no norms; its minima are those of loss + λ ‖W‖₁. The module keeps its shape: the optimiser holds u and v, the
chain rule gives their gradients, g ⊙ v and g ⊙ u, and W is written back after every step. Factors start as u = W and
v = 1, so that W starts as everywhere and its sign can still change, which it never could from |u| = |v|. Silenced:
every single weight with |w| < ξ; a channel goes once all its incoming weights are zero. Source: Ziyin and Wang 2023,
section 3. λ's default range is ours, found by what it removes. Optimisers are Adam and SGD's kinds, the decay
inside the gradient. Deviation: Adam by default, since with momentum the decay shortens all batch-normalised weights
alike: they turn ever faster, and accuracy falls before a channel goes.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Method, Real, Threshold, training


class Spred(Method):
    """L2 on two factors of every weight."""

    title = "spred"
    reference = "Ziyin and Wang 2023, arXiv:2210.01212"
    knob = "strength"
    space = {
        "strength": Real(3e-4, 0, 10, log=True, grid=(3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
        "threshold": Threshold(1e-4),
        **training("adam", 0.01, ("adam", *DESCENT)),
    }

    @torch.no_grad()
    def prepare(self, net, steps):
        self.weights = net.weights
        self.u = [torch.nn.Parameter(weight.clone()) for weight in self.weights]
        self.v = [torch.nn.Parameter(torch.ones_like(weight)) for weight in self.weights]

    def configure_optimizer(self, net):
        replaced = {id(weight) for weight in self.weights}
        others = [parameter for parameter in net.module.parameters() if id(parameter) not in replaced]
        factors = {"params": [*self.u, *self.v], "weight_decay": self.strength}
        return self.build_optimizer([factors, {"params": others}])

    @torch.no_grad()
    def after_backward(self, net):
        for weight, u, v in zip(self.weights, self.u, self.v, strict=True):
            u.grad, v.grad = weight.grad * v, weight.grad.mul_(u)
            weight.grad = None  # the optimiser, which does not hold the weight, would not clear it

    @torch.no_grad()
    def after_step(self, net, lr):
        for weight, u, v in zip(self.weights, self.u, self.v, strict=True):
            torch.mul(u, v, out=weight)

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        for weight in net.weights:
            weight[weight.abs() < self.threshold] = 0

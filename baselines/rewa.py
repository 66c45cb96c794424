"""ReWA: every weight as a power of another, with L2 on that one and a step size that shrinks with it.

Rule: x = sgn(y) |y|^K for the weights of all linear and convolutional layers, no biases, no norms; y descends along
s·g + λy, g the loss's gradient by x and s = |y|^M u / (u + ε) with u = K |y|^(K − 1); for ε = 0 s = |y|^M. Momentum
sums s·g + λy; "adamw" takes s·g alone and decays y apart (their algorithms 1 and 2). Where training rests with ε = 0,
g = −λ sgn(x) |x|^((1 − M) / K): loss + (λ/p) Σ |x|^p is stationary, p = (K + 1 − M) / K, 8/9 for K = 9 and M = 2. The
module keeps its shape: the optimiser holds y, and x is written back after every step. Silenced: every single
weight with |x| < ξ; a channel goes once all its incoming weights are zero. Source: Xu et al. 2026, section 3, and the
published code, with its K = 9, M = 2, ε = 0. λ's default range is ours, found by what it removes; so are ξ and the
learning rate. Deviations: their code also takes biases and norms to the power; momentum 0.9 where they have 0.875.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Method, Real, Threshold, training


class ReWA(Method):
    """Reparametrisation, weight decay and an adaptive step."""

    title = "ReWA"
    reference = "Xu et al. 2026, arXiv:2605.25134"
    knob = "strength"
    space = {
        "strength": Real(4e-3, 0, 10, log=True, grid=(1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 1.5e-2)),
        "order": Real(9.0, 1, 15),  # K
        "exponent": Real(2.0, 0, 14),  # M
        "epsilon": Real(0.0, 0, 1),
        "threshold": Threshold(1e-4),
        **training("momentum", 0.01, ("adamw", *DESCENT)),
    }

    @torch.no_grad()
    def prepare(self, net, steps):
        self.weights = net.weights
        self.roots = [torch.nn.Parameter(weight.sign() * weight.abs() ** (1 / self.order)) for weight in self.weights]

    def configure_optimizer(self, net):
        replaced = {id(weight) for weight in self.weights}
        others = [parameter for parameter in net.module.parameters() if id(parameter) not in replaced]
        decayed = {"params": self.roots, "weight_decay": self.strength}
        return self.build_optimizer([decayed, {"params": others}])

    @torch.no_grad()
    def after_backward(self, net):
        for weight, root in zip(self.weights, self.roots, strict=True):
            length = root.abs()
            step = length**self.exponent
            if self.epsilon > 0:
                slope = self.order * length ** (self.order - 1)
                step.mul_(slope / (slope + self.epsilon))
            root.grad = step.mul_(weight.grad)
            weight.grad = None  # the optimiser, which does not hold the weight, would not clear it

    @torch.no_grad()
    def after_step(self, net, lr):
        for weight, root in zip(self.weights, self.roots, strict=True):
            weight.copy_(root.sign() * root.abs() ** self.order)

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        for weight in net.weights:
            weight[weight.abs() < self.threshold] = 0

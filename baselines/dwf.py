"""Deep weight factorisation (DWF): every weight as a product of D, with plain L2 on all of them.

Objective: loss + (λ/D) Σ_d ‖ω_d‖₂² with W = ω_1 ⊙ … ⊙ ω_D for the weights of all linear and convolutional layers, no
biases, no norms; its minima are those of loss + λ Σ |w|^(2/D), for D = 2 the lasso (`spred`). The module keeps its
shape: the optimiser holds the factors, the chain rule gives their gradients, and W is written back after every step.
Factors start as ω_1 = W and the others at 1. Silenced: every single weight with |w| < ξ; a channel goes once all its
incoming weights are zero. Source: Kolb et al. 2025, section 3, and their algorithm of initialisation. λ's default
range is ours, found by what it removes. Optimisers are Adam and SGD's kinds, the decay inside the gradient. Deviations:
they draw all factors at random, so that their product has the variance of the usual start and none is too near to zero;
here W itself is the usual start, the same for every method; Adam by default, as for `spred`, where they use SGD.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Choice, Method, Real, Threshold, training


class DWF(Method):
    """L2 on three or four factors of every weight."""

    title = "DWF"
    reference = "Kolb et al. 2025, arXiv:2502.02496"
    knob = "strength"
    space = {
        "strength": Real(2e-4, 0, 10, log=True, grid=(2e-5, 7e-5, 2e-4, 1e-3, 3e-3, 1e-2)),
        "depth": Choice("3", ("3", "4")),  # D
        "threshold": Threshold(1e-4),
        **training("adam", 0.01, ("adam", *DESCENT)),
    }

    @torch.no_grad()
    def prepare(self, net, steps):
        self.weights = net.weights
        ones = range(int(self.depth) - 1)
        self.factors = [
            [torch.nn.Parameter(factor) for factor in (weight.clone(), *(torch.ones_like(weight) for _ in ones))]
            for weight in self.weights
        ]

    def configure_optimizer(self, net):
        replaced = {id(weight) for weight in self.weights}
        others = [parameter for parameter in net.module.parameters() if id(parameter) not in replaced]
        decayed = [factor for factors in self.factors for factor in factors]
        decay = 2 * self.strength / int(self.depth)
        return self.build_optimizer([{"params": decayed, "weight_decay": decay}, {"params": others}])

    @torch.no_grad()
    def after_backward(self, net):
        for weight, factors in zip(self.weights, self.factors, strict=True):
            stacked = torch.stack(list(factors))
            for d, factor in enumerate(factors):
                factor.grad = weight.grad * torch.cat([stacked[:d], stacked[d + 1 :]]).prod(0)
            weight.grad = None  # the optimiser, which does not hold the weight, would not clear it

    @torch.no_grad()
    def after_step(self, net, lr):
        for weight, factors in zip(self.weights, self.factors, strict=True):
            weight.copy_(torch.stack(list(factors)).prod(0))

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        for weight in net.weights:
            weight[weight.abs() < self.threshold] = 0

"""L1 regularisation, by proximal steps or by its subgradient.

Objective: loss + λ ‖W‖₁ over the weights of all linear and convolutional layers, no biases, no norms; no groups, no
size factor. `form`:
- proximal (default): after each optimiser step, W ← sign(W) (|W| − sλ)₊, so zeros are exact, and a channel is silent
  once all its incoming weights are zero. s is the size of the optimiser's own step: η / (1 − μ) at learning rate η and
  momentum μ, for Adam η / (√v̂ + ε), weight by weight. No other optimisers.
- subgradient: λ sign(W) joins the loss's gradient, inside the optimiser as L2 does in `implicit`: with Adam it answers
  what happens with L1 in place of L2. The sign never fades, so dead weights keep moving by about a learning rate and
  never reach 1e-15; silenced are the incoming weights of every channel with ‖w_k‖₂ < ξ, ξ just above that motion. The
  proximal form takes no notice of ξ.
Source: Tibshirani 1996; Parikh and Boyd 2014, section 6.5.2 for the step; Yun, Lozano and Yang 2021 for its size. λ's
range is ours: a weight before batch norm is scale-invariant, so it must be large before anything is removed.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Choice, Method, Real, Threshold, adam_metric, soft_threshold, training


class L1(Method):
    """L1 on all weights."""

    title = "L1"
    reference = "Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x"
    knob = "strength"
    space = {
        "strength": Real(1e-4, 0, 10, log=True, grid=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)),
        "form": Choice("proximal", ("proximal", "subgradient")),
        "threshold": Threshold(1e-2),
        **training("momentum", 0.1, ("adam", *DESCENT)),
    }
    version = 2

    def configure_optimizer(self, net):
        self.built = super().configure_optimizer(net)
        return self.built

    @torch.no_grad()
    def after_backward(self, net):
        if self.form == "subgradient":
            weights = net.weights
            signs = torch._foreach_sign(weights)
            torch._foreach_add_([weight.grad for weight in weights], signs, alpha=self.strength)

    @torch.no_grad()
    def after_step(self, net, lr):
        if self.form == "subgradient":
            return
        if self.optimizer != "adam":
            soft_threshold(net.weights, self.step_size(lr) * self.strength)
            return
        for weight in net.weights:
            amounts = adam_metric(self.built, weight).reciprocal_().mul_(lr * self.strength)
            weight.sub_(weight.clamp(-amounts, amounts))

    def silence(self, net, images: Tensor, labels: Tensor):
        if self.form == "subgradient":
            for group in net.groups:
                group.zero_incoming(group.incoming_norms() < self.threshold)

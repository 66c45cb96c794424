"""Combined group and exclusive sparsity: group lasso in shallow layers, competition within a channel in deep ones.

Objective: loss + λ Σ_l [(1 − μ_l) Σ_g ‖w_g‖₂ + (μ_l / 2) Σ_g ‖w_g‖₁²], μ_l = m + (1 − 2m) l / (L − 1) for layer l of
L = 0 … L − 1, m = 0.2 our choice. Groups are incoming weights, no size factor; no biases, no norms. After each
optimiser step at learning rate η, layer by layer: w_g ← w_g (1 − ηλ(1 − μ_l) / ‖w_g‖₂)₊ on the hidden channels, then
the exact proximal step of (c/2) ‖w_g‖₁², c = ηλμ_l, on every row: soft-threshold at τ = c S_k / (1 + ck), S_k the sum
of the k largest |w|, those that survive. τ is the root of c Σ(|w| − τ)₊ = τ; Newton's iteration meets it exactly
after a few steps, without a sort. Silenced are exact zeros. Source: Yoon and Hwang 2017, sections 3 and 4; λ's
default range is ours, found by what it removes. Deviations: a channel that several layers write is one group, with μ
of the first of them; the output layer's rows are classes, so only the exclusive term holds there.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, shrink, training

MAX_ITERATIONS = 50


@torch.no_grad()
def exclusive_shrink(weight: Tensor, amount: float, start: Tensor) -> Tensor:
    """The proximal step of (amount / 2) Σ ‖w_g‖₁², g the incoming weights of one output, in place.

    Returns the thresholds (outputs, 1); their iteration begins at `start`, of that shape.
    """
    magnitudes, threshold, alive = weight.flatten(1).abs(), start, None
    excess = torch.empty_like(magnitudes)  # one buffer: a fresh one each time would cost more than the arithmetic
    for _ in range(MAX_ITERATIONS):
        torch.sub(magnitudes, threshold, out=excess).clamp_min_(0)
        total, before, alive = excess.sum(1, keepdim=True), alive, excess.sign_().sum(1, keepdim=True)
        threshold = (threshold + (amount * total - threshold) / (1 + amount * alive)).clamp_min_(0)
        if before is not None and torch.equal(before, alive):
            break
    clipped = torch.minimum(weight.flatten(1), threshold, out=excess)
    weight.sub_(torch.maximum(clipped, -threshold, out=clipped).view_as(weight))
    return threshold


class CGES(Method):
    """Proximal group lasso and exclusive lasso, weighed by depth."""

    title = "CGES"
    reference = "Yoon and Hwang 2017, ICML, PMLR 70:3958"
    knob = "strength"
    space = {
        "strength": Real(2e-3, 0, 100, log=True, grid=(3e-4, 1e-3, 2e-3, 4e-3, 1e-2, 1e-1)),
        "least_share": Real(0.2, 0, 0.5),  # m
        **training("momentum", 0.1),
    }

    def prepare(self, net, steps):
        self.thresholds = [weight.new_zeros(len(weight), 1) for weight in net.weights]
        depth, low = max(len(net.weights) - 1, 1), self.least_share
        self.shares = [low + (1 - 2 * low) * layer / depth for layer in range(len(net.weights))]
        share_of = {id(weight): share for weight, share in zip(net.weights, self.shares, strict=True)}
        self.groups = [(group, share_of[id(group.writers[0].layer.weight)]) for group in net.groups]

    @torch.no_grad()
    def after_step(self, net, lr):
        for group, share in self.groups:
            shrink(group, lr * self.strength * (1 - share))
        for i, (weight, share) in enumerate(zip(net.weights, self.shares, strict=True)):
            self.thresholds[i] = exclusive_shrink(weight, lr * self.strength * share, self.thresholds[i])

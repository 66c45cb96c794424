"""Combined group and exclusive sparsity: group lasso in shallow layers, competition within a channel in deep ones.

Objective: loss + λ Σ_l [(1 − μ_l) Σ_g ‖w_g‖₂ + (μ_l / 2) Σ_g ‖w_g‖₁²], μ_l = m + (1 − 2m) l / (L − 1) for layer l of
L = 0 … L − 1, m = 0.2 our choice. Groups are incoming weights, no size factor; no biases, no norms. After each
optimiser step every group takes the exact proximal step of a ‖w_g‖₂ + (c/2) ‖w_g‖₁², a = sλ(1 − μ_l) and c = sλμ_l with
s = η / (1 − μ) at learning rate η and momentum μ, the size of the optimiser's own step: soft-threshold at τ, then w_g ←
w_g (1 − a / ‖w_g‖₂)₊, where τ = c ‖w_g‖₁ of what comes out. This ‖w_g‖₁ is convex and falls in τ, so Newton's iteration
meets the root from below. Silenced are exact zeros. Optimisers are SGD's kinds. Source: Yoon and Hwang 2017, sections 3
and 4; λ's default range is ours, found by what it removes. Deviations: one step of the sum, where each term's own step
after the other's would solve another problem; the published code, for one network of four layers, groups outgoing
weights, has μ run from 0.8 to 0.2 and weighs its layers by hand, with factors of 1, 1, 1/15 and 1/144 and of 1, 0.5, 15
and 144, of which the formula has none; a channel that several layers write is one group, with μ_l of the first of them;
the output layer's rows are classes, so only the exclusive term holds there.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Method, Real, incoming_rows, training, write_incoming_rows

MAX_ITERATIONS = 50


@torch.no_grad()
def combined_shrink(weights: Tensor, group: float, exclusive: float, start: Tensor) -> Tensor:
    """The proximal step of group · ‖w‖₂ + (exclusive / 2) · ‖w‖₁² for every row w of a matrix, in place.

    Returns the thresholds τ (rows, 1); their iteration begins at `start`, of that shape.
    """
    magnitudes, threshold = weights.abs(), start
    excess = torch.empty_like(magnitudes)  # one buffer: a fresh one each time would cost more than the arithmetic
    tolerance = 32 * torch.finfo(weights.dtype).eps
    for _ in range(MAX_ITERATIONS):
        torch.sub(magnitudes, threshold, out=excess).clamp_min_(0)
        total, length = excess.sum(1, keepdim=True), excess.norm(dim=1, keepdim=True).clamp_min_(1e-30)
        factor = (1 - group / length).clamp_min_(0)
        alive = torch.count_nonzero(excess, dim=1).unsqueeze(1)
        slope = torch.where(factor > 0, alive * factor + group / length * (total / length) ** 2, 0)
        before = threshold
        threshold = (before + (exclusive * total * factor - before) / (1 + exclusive * slope)).clamp_min_(0)
        if ((threshold - before).abs() <= tolerance * threshold).all():
            break
    weights.copy_(weights.sign().mul_(excess).mul_(factor))
    return threshold


class CGES(Method):
    """Proximal group lasso and exclusive lasso, weighed by depth."""

    title = "CGES"
    reference = "Yoon and Hwang 2017, ICML, PMLR 70:3958"
    knob = "strength"
    space = {
        "strength": Real(2e-4, 0, 100, log=True, grid=(3e-5, 1e-4, 2e-4, 4e-4, 1e-3, 1e-2)),
        "least_share": Real(0.2, 0, 0.5),  # m
        **training("momentum", 0.1, DESCENT),
    }
    version = 3

    def prepare(self, net, steps):
        depth, low = max(len(net.weights) - 1, 1), self.least_share
        shares = {id(weight): low + (1 - 2 * low) * layer / depth for layer, weight in enumerate(net.weights)}
        grouped = {id(site.layer.weight) for group in net.groups for site in group.writers}
        self.groups = [(group, shares[id(group.writers[0].layer.weight)]) for group in net.groups]
        self.others = [(weight, shares[id(weight)]) for weight in net.weights if id(weight) not in grouped]
        sizes = [*(group.size for group in net.groups), *(len(weight) for weight, _ in self.others)]
        self.thresholds = [net.weights[0].new_zeros(size, 1) for size in sizes]

    @torch.no_grad()
    def after_step(self, net, lr):
        strength, started = self.step_size(lr) * self.strength, iter(self.thresholds)
        self.thresholds = []
        for group, share in self.groups:
            joined = incoming_rows(group)
            amounts = strength * (1 - share), strength * share
            self.thresholds.append(combined_shrink(joined, *amounts, next(started)))
            write_incoming_rows(group, joined)
        for weight, share in self.others:
            self.thresholds.append(combined_shrink(weight.flatten(1), 0.0, strength * share, next(started)))

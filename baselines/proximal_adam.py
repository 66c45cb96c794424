"""Group lasso by proximal steps in Adam's own metric.

Objective: loss + λ Σ_g √|g| ‖w_g‖₂, g the incoming weights of one hidden channel and |g| their number. After Adam's
step at learning rate η, with D = √v̂ + ε the diagonal by which Adam divides and Λ = ηλ√|g|, every group moves to the
minimiser of ½ Σ_i D_i (u_i − w_i)² + Λ ‖u‖₂: zero where ‖D ⊙ w_g‖₂ ≤ Λ, else u_i = w_i D_i θ / (D_i θ + Λ) with θ =
‖u‖₂ the root of Σ_i w_i² / (θ + Λ / D_i)² = 1. Newton's iteration on the reciprocal root of that sum, which is
concave in θ, meets it from below and starts at the last step's θ. Silenced are exact zeros. Source: Deleu and Bengio
2021, section 3. λ's default range is ours, found by what it removes. Deviation: the incoming weights of a whole
channel are the group everywhere.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, adam_metric, channel_sum, rows, training

MAX_ITERATIONS = 50


@torch.no_grad()
def metric_shrink(group, ratios: list[Tensor], start: Tensor) -> Tensor:
    """The proximal step of Λ Σ ‖w_g‖₂ on a channel group, in place; returns the new norms θ.

    `ratios` holds Λ / D by writer, shaped like its weight and overwritten; θ's iteration begins at `start` (size,).
    """
    sites, theta = group.writers, start
    buffers = [(torch.empty_like(ratio), torch.empty_like(ratio)) for ratio in ratios]
    for _ in range(MAX_ITERATIONS):
        squares, cubes = [], []
        for site, ratio, (inverse, product) in zip(sites, ratios, buffers, strict=True):
            torch.add(ratio, rows(site, theta, 1), out=inverse).reciprocal_()
            torch.mul(site.layer.weight, inverse, out=product).square_()
            squares.append((site, product.flatten(1).sum(1)))
            cubes.append((site, product.mul_(inverse).flatten(1).sum(1)))
        total, slope = channel_sum(group, squares), channel_sum(group, cubes)
        solved = ((total - 1).abs() <= 32 * torch.finfo(total.dtype).eps) | ((theta == 0) & (total <= 1))
        if solved.all():
            break
        theta = (theta + (total**1.5 - total) / slope.clamp_min_(1e-30)).clamp_min_(0)
    for site, ratio in zip(sites, ratios, strict=True):
        spread = rows(site, theta, 1)
        site.layer.weight.mul_(ratio.add_(spread).reciprocal_().mul_(spread))
    return theta


class ProximalAdam(Method):
    """Group lasso, proximal in Adam's metric."""

    title = "Proximal Adam"
    reference = "Deleu and Bengio 2021, arXiv:2102.03869"
    knob = "strength"
    space = {
        "strength": Real(3e-2, 0, 10, log=True, grid=(1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)),
        **training("adam", 1e-3, ("adam",)),
    }

    def configure_optimizer(self, net):
        self.adam = super().configure_optimizer(net)
        self.norms = [group.incoming_norms() for group in net.groups]
        return self.adam

    @torch.no_grad()
    def after_step(self, net, lr):
        for i, group in enumerate(net.groups):
            if lr * self.strength > 0:
                amounts = (lr * self.strength * group.fan_in**0.5).to(self.norms[i])
                metrics = [adam_metric(self.adam, site.layer.weight) for site in group.writers]
                ratios = [
                    metric.reciprocal_().mul_(rows(site, amounts, 0))
                    for site, metric in zip(group.writers, metrics, strict=True)
                ]
                self.norms[i] = metric_shrink(group, ratios, self.norms[i])

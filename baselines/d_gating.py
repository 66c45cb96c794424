"""D-gating: every channel's weights times scalar gates, with plain L2 on all factors: a group lasso in disguise.

Objective: loss + (λ/D) Σ_g (‖ω_g‖₂² + Σ_d γ_{g,d}²) with w_g = ω_g Π_{d<D} γ_{g,d}, g the incoming weights of one
hidden channel; at its minima it equals loss + λ Σ_g ‖w_g‖₂^(2/D), for D = 2 the group lasso without a size factor.
The module keeps its shape: the optimiser holds the factors, the chain rule gives their gradients from that of w, and
w is written back after every step. Factors start balanced, ω = w / ‖w‖₂^(1 − 1/D) and γ = ‖w‖₂^(1/D), so that w
starts as everywhere. Silenced: incoming weights of every channel with ‖w_g‖₂ < ξ. Source: Kolb et al. 2025, sections
3 and 4. λ's default range is ours, found by what it removes. Deviations: D = 2 by default, where they recommend 3 or 4;
the protocol's schedule and epochs, where they train for 200 epochs on a cosine at a learning rate of 0.3 to 0.4; ξ =
1e-3 and not the limit of float32, since the decay of a small network's few steps does not reach it; a learning rate of
0.02, since at 0.1 the factors' decay leaves batch-normalised weights so short that their direction never settles.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Choice, Method, Real, Threshold, channel_sum, rows, training


class DGating(Method):
    """L2 on the factors of gated channels."""

    title = "D-gating"
    reference = "Kolb et al. 2025, arXiv:2509.23898"
    knob = "strength"
    space = {
        "strength": Real(1e-1, 0, 100, log=True, grid=(1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)),
        "depth": Choice("2", ("2", "3", "4")),  # D
        "threshold": Threshold(1e-3),
        **training("momentum", 0.02, ("adam", *DESCENT)),
    }

    @torch.no_grad()
    def prepare(self, net, steps):
        depth = int(self.depth)
        self.gated = []
        for group in net.groups:
            roots = group.incoming_norms() ** (1 / depth)
            gates = torch.nn.Parameter(roots.repeat(depth - 1, 1))
            inverse = torch.where(roots > 0, roots ** (1 - depth), 0)
            cores = [torch.nn.Parameter(s.layer.weight * rows(s, inverse, 1)) for s in group.writers]
            self.gated.append((group, gates, cores))

    def configure_optimizer(self, net):
        factors = [factor for _, gates, cores in self.gated for factor in (gates, *cores)]
        replaced = {id(site.layer.weight) for group, *_ in self.gated for site in group.writers}
        others = [parameter for parameter in net.module.parameters() if id(parameter) not in replaced]
        decay = 2 * self.strength / int(self.depth)
        return self.build_optimizer([{"params": factors, "weight_decay": decay}, {"params": others}])

    @torch.no_grad()
    def after_backward(self, net):
        for group, gates, cores in self.gated:
            product, parts = gates.prod(0), []
            for site, core in zip(group.writers, cores, strict=True):
                gradient = site.layer.weight.grad
                parts.append((site, (gradient * core).flatten(1).sum(1)))
                core.grad = gradient.mul_(rows(site, product, 1))
                site.layer.weight.grad = None  # the optimiser, which does not hold the weight, would not clear it
            inner = channel_sum(group, parts)
            others = [torch.cat([gates[:d], gates[d + 1 :]]).prod(0) for d in range(len(gates))]
            gates.grad = inner * torch.stack(others)

    @torch.no_grad()
    def after_step(self, net, lr):
        for group, gates, cores in self.gated:
            product = gates.prod(0)
            for site, core in zip(group.writers, cores, strict=True):
                torch.mul(core, rows(site, product, 1), out=site.layer.weight)

    def silence(self, net, images: Tensor, labels: Tensor):
        for group in net.groups:
            group.zero_incoming(group.incoming_norms() < self.threshold)

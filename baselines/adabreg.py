"""AdaBreg: from nearly nothing to as much as the loss asks for, by Bregman iterations with Adam's steps.

Rule: a subgradient v takes Adam's steps, v ← v − η m̂ / (√v̂ + ε), m̂ and v̂ Adam's averages of the loss's gradient by
w; then w = prox_{δJ}(δv), J = λ Σ_g √|g| ‖w_g‖₂: w_g = δ v_g (1 − λ√|g| / ‖v_g‖₂)₊, g the incoming weights of one
hidden channel and |g| their number. All but 1 % of each group's channels, drawn at random, start at zero; v starts as
w/δ + ∂J(w), 0 where w_g is. Silenced are exact zeros. λ delays a channel's birth and does not weigh it: the loss is not
penalised. "sgd" in place of Adam is their LinBreg: it tends to the minimiser of J + ‖w‖² / 2δ among those of the
loss. Source: Bungert et al. 2022, algorithm 3, with δ = 1 and the 1 % of their experiments; λ's default range
is ours, found by what it removes. Deviations: they group the rows of linear layers and single kernels; what starts is
not scaled up; β, or the bias without batch norm, starts uniform in (0, 1 / √|g|), as their biases do: at β = 0 a
rectifier whose channel is zero passes no gradient, and no channel would ever be born.
"""

import math

import torch

from benchmark.method import Method, Real, rows, training

DENSITY = 0.01  # share of channels that start
DELTA = 1.0  # δ


class AdaBreg(Method):
    """Bregman iterations on channel groups, sparse to dense."""

    title = "AdaBreg"
    reference = "Bungert et al. 2022, arXiv:2105.04319"
    knob = "strength"
    space = {
        "strength": Real(0.3, 0, 1000, log=True, grid=(3e-2, 0.15, 0.3, 1.0, 3.0, 6.0)),
        **training("adam", 0.01, ("adam", "sgd")),
    }
    starts_anew = True

    @torch.no_grad()
    def prepare(self, net, steps):
        self.duals = []
        for group in net.groups:
            order = torch.randperm(group.size, generator=self.generator).to(group.writers[0].channels.device)
            alive = order < math.ceil(DENSITY * group.size)
            if self.strength > 0:
                group.zero_incoming(~alive)
                self._open(group)
            norms = group.incoming_norms().clamp_min_(1e-30)
            growth = (self.strength * group.fan_in**0.5).to(norms) / norms
            duals = [
                torch.nn.Parameter(site.layer.weight * rows(site, 1 / DELTA + growth, 1)) for site in group.writers
            ]
            self.duals.append((group, duals))

    def _open(self, group):
        """Starts what is added behind a channel's weights above zero."""
        bound = group.fan_in**-0.5
        for site in group.norms or group.writers:
            if site.layer.bias is not None:
                draws = torch.rand(len(site.positions), generator=self.generator, dtype=torch.float64)
                site.layer.bias[site.positions] = (bound[site.channels] * draws.to(bound)).to(site.layer.bias)

    def configure_optimizer(self, net):
        replaced = {id(site.layer.weight) for group, _ in self.duals for site in group.writers}
        others = [parameter for parameter in net.module.parameters() if id(parameter) not in replaced]
        return self.build_optimizer([*(dual for _, duals in self.duals for dual in duals), *others])

    def after_backward(self, net):
        for group, duals in self.duals:
            for site, dual in zip(group.writers, duals, strict=True):
                dual.grad, site.layer.weight.grad = site.layer.weight.grad, None

    @torch.no_grad()
    def after_step(self, net, lr):
        for group, duals in self.duals:
            for site, dual in zip(group.writers, duals, strict=True):
                torch.mul(dual, DELTA, out=site.layer.weight)
            norms = group.incoming_norms().clamp_min_(1e-30)
            amounts = (DELTA * self.strength * group.fan_in**0.5).to(norms)
            group.scale_incoming((1 - amounts / norms).clamp_min_(0))

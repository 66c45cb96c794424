"""Hard-concrete gates: the expected number of weights kept, L0, as a differentiable penalty.

Objective: E_z[loss] + λ Σ_k |g_k| P(z_k ≠ 0); z_k multiplies channel k behind its norms (γ and β), or its incoming
weights and bias where there is none; |g| is the number of its incoming weights. With u uniform on (0, 1), s = σ((log
u − log(1 − u) + log α) / β), z = min(1, max(0, s(ζ − γ) + γ)), P(z ≠ 0) = σ(log α − β log(−γ/ζ)), β = 2/3, γ = −0.1,
ζ = 1.1. One z is drawn a step, for the whole batch. The module keeps its shape: the optimiser holds log α and the
ungated parameters, the chain rule gives their gradients, and their product with z is written back. In the last tenth of
the steps log α rests and z is the deterministic one of the test, min(1, max(0, σ(log α)(ζ − γ) + γ)). Silenced:
channels whose test-time z is zero. Source: Louizos et al. 2018, sections 2 and 4; z starts at a drop rate of 0.5. λ's
range is ours, and so is the learning rate: a gate closes for good at log α = −2.4, which Adam needs 2.4 / η steps to
reach. Deviations: one draw a batch for convolutions too; λ is not divided by the number of samples; the last tenth,
since their networks have no batch norm, whose running statistics would be those of drawn gates.
"""

import math

import torch
from torch import Tensor

from benchmark.method import DESCENT, Method, Real, channel_sum, rows, training

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1
DROP_RATE = 0.5
RESTING = 0.1  # share of the steps, the last, in which gates are those of the test


class HardConcrete(Method):
    """L0 regularisation of channels by stochastic gates."""

    title = "L0 (hard concrete)"
    reference = "Louizos et al. 2018, arXiv:1712.01312"
    knob = "strength"
    space = {
        "strength": Real(1e-5, 0, 10, log=True, grid=(1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 1e-3)),
        **training("adam", 3e-3, ("adam", *DESCENT)),
    }
    version = 2

    @torch.no_grad()
    def prepare(self, net, steps):
        self.left, self.resting = steps, RESTING * steps
        start = math.log((1 - DROP_RATE) / DROP_RATE)
        self.logits = [torch.nn.Parameter(torch.full_like(group.incoming_norms(), start)) for group in net.groups]
        self.gated = []  # by group: site, parameter, and its ungated copy
        for group in net.groups:
            parameters = [
                (site, p) for site in group.norms or group.writers for p in (site.layer.weight, site.layer.bias)
            ]
            self.gated.append([(site, p, torch.nn.Parameter(p.clone())) for site, p in parameters if p is not None])
        self._write_gates()

    def configure_optimizer(self, net):
        triples = [triple for group in self.gated for triple in group]
        replaced = {id(parameter) for _, parameter, _ in triples}
        others = [parameter for parameter in net.module.parameters() if id(parameter) not in replaced]
        return self.build_optimizer([*self.logits, *(ungated for *_, ungated in triples), *others])

    @torch.no_grad()
    def after_backward(self, net):
        for group, logits, gated, (gates, slope) in zip(net.groups, self.logits, self.gated, self.drawn, strict=True):
            parts = []
            for site, parameter, ungated in gated:
                products = parameter.grad * ungated
                parts.append((site, products.flatten(1).sum(1) if products.dim() > 1 else products))
                ungated.grad = parameter.grad.mul_(_spread(site, gates, parameter))
                parameter.grad = None  # the optimiser, which does not hold the parameter, would not clear it
            if slope is None:
                logits.grad = None  # the optimiser passes over it
                continue
            kept = torch.sigmoid(logits - BETA * math.log(-LOW / HIGH))
            logits.grad = channel_sum(group, parts) * slope + self.strength * group.fan_in * kept * (1 - kept)

    def after_step(self, net, lr):
        self.left -= 1
        self._write_gates()

    @torch.no_grad()
    def _write_gates(self):
        """Draws the next z, or takes the deterministic one, and writes the gated parameters."""
        self.drawn = []
        for logits, gated in zip(self.logits, self.gated, strict=True):
            gates, slope = self._sample(logits) if self.left > self.resting else (deterministic_gates(logits), None)
            self.drawn.append((gates, slope))
            for site, parameter, ungated in gated:
                torch.mul(ungated, _spread(site, gates, parameter), out=parameter)

    def _sample(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """One z a channel, and its derivative by log α."""
        uniform = torch.rand(logits.shape, generator=self.generator).clamp_(1e-6, 1 - 1e-6).to(logits)
        smooth = torch.sigmoid((uniform.logit() + logits) / BETA)
        stretched = smooth * (HIGH - LOW) + LOW
        inside = (stretched > 0) & (stretched < 1)
        return stretched.clamp(0, 1), inside * (HIGH - LOW) * smooth * (1 - smooth) / BETA

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        for group, logits in zip(net.groups, self.logits, strict=True):
            group.silence(deterministic_gates(logits) == 0)


def deterministic_gates(logits: Tensor) -> Tensor:
    """The deterministic z of the trained network."""
    return (torch.sigmoid(logits) * (HIGH - LOW) + LOW).clamp(0, 1)


def _spread(site, gates: Tensor, parameter: Tensor) -> Tensor:
    """The channels' gates at the rows of a layer's weight or bias, 1 for rows of no channel."""
    spread = rows(site, gates, 1)
    return spread if parameter is site.layer.weight else spread.flatten()

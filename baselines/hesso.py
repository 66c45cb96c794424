"""HESSO: in one training, the channels that matter least are chosen early and led to zero step by step.

Rule: at step T₀ the `ratio` of channels with the lowest score over all groups together is redundant; in each of the T
steps t = 0 … T − 1 from then on, after the optimiser's step, all that makes them is multiplied by (T − t − 1) / (T −
t): exactly zero at the end, where it stays while the others train on; nothing else is silenced. A channel is its
incoming weights, bias, γ and β, w_k; with the direction d_k of the optimiser's step, without η, its score is the mean
of five, each divided by its 2-norm over all channels: ‖w_k‖₂, ‖w_k‖₂ / |w_k|, 1 + cos(w_k, d_k), |w_k·d_k| and
(w_k·d_k)² / 2. Momentum SGD with weight decay, no fine-tuning. Source: Chen et al. 2024, and the defaults of the
published code, with its weight decay of 1e-4 and a single period, without the corrective cycle; T₀ and T, a tenth of
the steps each, are ours after its examples. The default grid of ratios is ours.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, channel_sum, lowest_channels, rows, scope, training

START, DURATION = 0.1, 0.1  # T₀ and T, shares of the steps


class HESSO(Method):
    """Redundant channels forced to zero while training."""

    title = "HESSO"
    reference = "Chen et al. 2024, arXiv:2409.09085"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "decay": Real(1e-4, 0, 1, log=True),
        "scope": scope("global"),
        **training("momentum", 0.1, ("momentum", "sgd")),
    }

    def prepare(self, net, steps):
        self.step, self.start, self.duration = 0, int(START * steps), max(int(DURATION * steps), 1)
        self.doomed = []

    def configure_optimizer(self, net):
        self.built = self.build_optimizer(net.module.parameters(), weight_decay=self.decay)
        return self.built

    def after_backward(self, net):
        if self.step == self.start:
            self.doomed = lowest_channels(net, scores(net, self._directions(net)), self.ratio, self.scope)

    @torch.no_grad()
    def _directions(self, net) -> dict[Tensor, Tensor]:
        """What the optimiser's next step takes, η aside, by parameter."""
        momentum, state = self.built.defaults["momentum"], self.built.state
        trained = [p for p in net.module.parameters() if p.grad is not None]
        buffers = {p: state[p].get("momentum_buffer", torch.zeros_like(p)) for p in trained}
        return {p: p.grad + self.decay * p + momentum * buffer for p, buffer in buffers.items()}

    @torch.no_grad()
    def after_step(self, net, lr):
        left = self.start + self.duration - self.step
        for group, doomed in zip(net.groups, self.doomed, strict=bool(self.doomed)):
            factors = torch.ones_like(group.incoming_norms()).masked_fill_(doomed, max(left - 1, 0) / max(left, 1))
            for site, parameter in _parameters(group):
                parameter.mul_(rows(site, factors, 1).view(-1, *[1] * (parameter.dim() - 1)))
        self.step += 1


def _parameters(group) -> list[tuple]:
    """All parameters that make a group's channels, each with its site."""
    sites = (*group.writers, *group.norms)
    return [(site, p) for site in sites for p in (site.layer.weight, site.layer.bias) if p is not None]


@torch.no_grad()
def scores(net, directions: dict[Tensor, Tensor]) -> list[Tensor]:
    """The mean of the five normalised scores, by group."""

    def direction(parameter: Tensor) -> Tensor:
        return directions.get(parameter, torch.zeros_like(parameter))

    def total(group, values) -> Tensor:
        parts = [(site, values(p, direction(p)).reshape(len(p), -1).sum(1)) for site, p in _parameters(group)]
        return channel_sum(group, parts)

    found = []
    for group in net.groups:
        norms, lengths = (total(group, f).sqrt() for f in (lambda w, d: w * w, lambda w, d: d * d))
        products, sizes = total(group, torch.mul), total(group, lambda w, d: torch.ones_like(w))
        cosines = products / (norms + 1e-8) / (lengths + 1e-8)
        found.append(torch.stack([norms, norms / sizes, 1 + cosines, products.abs(), products**2 / 2]))
    scale = torch.cat(found, 1).norm(dim=1, keepdim=True).clamp_min(1e-30)
    return [(kinds / scale).mean(0) for kinds in found]

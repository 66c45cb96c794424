"""Growing regularisation (GReg-1): the doomed channels are pushed to zero by an L2 penalty that grows.

Rule: in a trained network the `ratio` of every group's channels with the lowest ‖w_k‖₁ is doomed; training goes on with
loss + (λ_t/2) Σ_doomed (‖w_k‖₂² + ‖v_k‖₂² + b_k² + γ_k² + β_k²), w_k the incoming and v_k the outgoing weights, λ_t
growing evenly from 0 to 1 over the first half of the steps and staying there. Then the doomed are silenced wholly,
which changes next to nothing where steps × η / (1 − μ) is large, and the rest is fine-tuned. Starts from the dense
network, half-way. Trained and fine-tuned by momentum SGD unless a study says otherwise. Source: Wang et al. 2021,
section 3, with the ceiling τ = 1. Deviations: the paper penalises w_k alone; but batch norm undoes what w_k shrinks by,
and without it v_k is free to grow, so such a channel lives on at τ = 1. They add 1e-4 every few steps for as long as
that takes; here the growth is as fast as the budget that all methods share needs. The default grid of ratios, from
nearly none to nearly all, is ours.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, columns, lowest_channels, rows, scope, training

CEILING = 1.0  # τ
GROWTH = 0.5  # share of the steps in which the penalty grows


class GrowingReg(Method):
    """Filter magnitude pruning through a growing penalty, with fine-tuning."""

    title = "Growing regularisation"
    reference = "Wang et al. 2021, arXiv:2012.09243"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "scope": scope("layer"),
        **training("momentum", 0.1),
    }
    base = "dense"
    trains_base = True
    fine_tunes = True
    version = 2

    def prepare(self, net, steps):
        self.strength, self.increment = 0.0, CEILING / max(GROWTH * steps, 1)
        norms = [group.incoming_norms(p=1) for group in net.groups]
        self.doomed = lowest_channels(net, norms, self.ratio, self.scope)
        self.targets = []
        for group, doomed in zip(net.groups, self.doomed, strict=True):
            marks = doomed.to(group.writers[0].layer.weight.dtype)
            self.targets += [(site.layer.weight, columns(site, marks)) for site in group.readers]
            for site in (*group.writers, *group.norms):
                spread = rows(site, marks, otherwise=0)
                self.targets.append((site.layer.weight, spread))
                if site.layer.bias is not None:
                    self.targets.append((site.layer.bias, spread.flatten()))

    @torch.no_grad()
    def after_backward(self, net):
        self.strength = min(self.strength + self.increment, CEILING)
        for parameter, doomed in self.targets:
            if parameter.grad is not None:
                parameter.grad.addcmul_(parameter, doomed, value=self.strength)

    def silence(self, net, images: Tensor, labels: Tensor):
        for group, doomed in zip(net.groups, self.doomed, strict=True):
            group.silence(doomed)

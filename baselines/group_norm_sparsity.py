"""Group-norm sparsity (DepGraph): shrinks whatever belongs to a channel, the weaker the channel the more.

Rule: with I_k the 2-norm over all that channel k couples, incoming weights, outgoing weights and γ, the gradient of
each of them gains λ · 2^(4 (I_max − I_k) / (I_max − I_min)) · w, maximum and minimum over the group. Then the `ratio`
of channels with the lowest I_k², divided by its mean over the group and ranked over all groups together, is silenced
wholly and the rest is fine-tuned. Starts from the dense network, half-way. Trained and fine-tuned by momentum SGD
unless a study says otherwise. Source: Fang et al. 2023, section 3, with its α = 4 and λ = 5e-4. Deviation: I_k and the
ratio are taken once, where they repeat pruning in steps. The default grid of ratios, from nearly none to nearly all, is
ours.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, channel_sum, columns, rows, scope, silence_lowest, training

CONTRAST = 4  # α


class GroupNormSparsity(Method):
    """Adaptive L2 on coupled groups, with fine-tuning."""

    title = "Group norm (DepGraph)"
    reference = "Fang et al. 2023, arXiv:2301.12900"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "strength": Real(5e-4, 0, 1, log=True),
        "scope": scope("global"),
        **training("momentum", 0.1),
    }
    base = "dense"
    trains_base = True
    fine_tunes = True
    version = 3

    @torch.no_grad()
    def after_backward(self, net):
        for group in net.groups:
            norms = coupled_norms(group)
            low, high = norms.aminmax()
            factors = self.strength * 2 ** (CONTRAST * (high - norms) / (high - low).clamp_min(1e-30))
            for site in (*group.writers, *group.norms, *group.readers):
                weight = site.layer.weight
                if weight.grad is not None:
                    weight.grad.addcmul_(weight, rows(site, factors, 0) if site.dim == 0 else columns(site, factors))

    def silence(self, net, images: Tensor, labels: Tensor):
        norms = [coupled_norms(group) for group in net.groups]
        silence_lowest(net, [norm.square() / norm.square().mean() for norm in norms], self.ratio, self.scope)


@torch.no_grad()
def coupled_norms(group) -> Tensor:
    """The 2-norm over all parameters that each channel couples, biases aside; shape (size,)."""
    total = group.incoming_norms().square_() + group.outgoing_norms().square_()
    if group.norms:
        total += channel_sum(group, [(site, site.layer.weight.square()) for site in group.norms])
    return total.sqrt_()

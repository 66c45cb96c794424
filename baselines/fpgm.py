"""Geometric median: the channels nearest to all others of their layer go, as replaceable, and the rest is fine-tuned.

Criterion: s_k = Σ_j ‖w_k − w_j‖₂ over the channels j of the group, w the incoming weights; in every group the `ratio`
of channels with the lowest s_k is silenced wholly. Starts from the dense network. Fine-tuned by momentum SGD unless a
study says otherwise. Source: He et al. 2019, section 3. Deviation: one shot after training, where they prune softly
after every epoch. The default grid of ratios, from nearly none to nearly all, is ours.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, incoming_rows, scope, silence_lowest, training


class FPGM(Method):
    """Geometric-median filter pruning with fine-tuning."""

    title = "Geometric median"
    reference = "He et al. 2019, arXiv:1811.00250"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "scope": scope("layer"),
        **training("momentum", 0.1),
    }
    base = "dense"
    fine_tunes = True
    version = 3

    def silence(self, net, images: Tensor, labels: Tensor):
        silence_lowest(net, [distances(group) for group in net.groups], self.ratio, self.scope)


@torch.no_grad()
def distances(group) -> Tensor:
    """Σ_j ‖w_k − w_j‖₂ for every channel k of a group; a layer that does not write a channel counts as zeros."""
    filters = incoming_rows(group)
    return torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist").sum(1)

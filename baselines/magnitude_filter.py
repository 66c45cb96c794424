"""Filter magnitude: the channels with the smallest weights go, in one shot, and the rest is fine-tuned.

Criterion: s_k = ‖w_k‖₁ over the incoming weights of channel k; in every group the `ratio` of channels with the lowest
s_k is silenced wholly, incoming weights, bias, γ and β. Starts from the dense network. Fine-tuned by momentum SGD
unless a study says otherwise. Source: Li et al. 2017, section 3.1. Deviation: the same ratio in every layer, where
the paper spares layers by hand. The default grid of ratios, from nearly none to nearly all, is ours.
"""

from torch import Tensor

from benchmark.method import Method, Real, scope, silence_lowest, training


class MagnitudeFilter(Method):
    """L1-norm filter pruning with fine-tuning."""

    title = "Filter magnitude"
    reference = "Li et al. 2017, arXiv:1608.08710"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96)),
        "scope": scope("layer"),
        **training("momentum", 0.1),
    }
    base = "dense"
    fine_tunes = True
    version = 2

    def silence(self, net, images: Tensor, labels: Tensor):
        norms = [group.incoming_norms(p=1) for group in net.groups]
        silence_lowest(net, norms, self.ratio, self.scope)

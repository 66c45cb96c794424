"""Batch-norm scale: network slimming's criterion without its sparse training.

Criterion: |γ_k|, the mean over the norms on channel k, of which each group has to have one; the `ratio` of channels
with the lowest over all groups together is silenced wholly, γ and β included, and the rest is fine-tuned. Starts from
the dense network. Fine-tuned by momentum SGD unless a study says otherwise. Source: the criterion of Liu et al. 2017,
section 3; the control for what their L1 penalty on γ adds. The default grid of ratios, from nearly none to nearly all,
is ours.
"""

from torch import Tensor

from benchmark.method import Method, Real, scope, silence_lowest, training


class BnScale(Method):
    """Pruning by |γ| of a network trained as usual, with fine-tuning."""

    title = "Batch-norm scale"
    reference = "control; Liu et al. 2017, arXiv:1708.06519"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "scope": scope("global"),
        **training("momentum", 0.1),
    }
    base = "dense"
    fine_tunes = True
    version = 2

    def silence(self, net, images: Tensor, labels: Tensor):
        silence_lowest(net, [group.scales() for group in net.groups], self.ratio, self.scope)

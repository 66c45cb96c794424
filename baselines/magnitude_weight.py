"""Weight magnitude: the smallest single weights go, and the rest is fine-tuned; unstructured.

Criterion: |w| / σ_l, with σ_l the standard deviation of the weights of layer l; the `ratio` of all weights of linear
and convolutional layers, the output layer's too, with the lowest criterion is set to zero: the published threshold,
one multiple of σ_l in every layer, with the multiple found from the ratio. Zeros stay while the network is
fine-tuned; no groups: a channel goes once all its incoming or outgoing weights are zero, so few parameters go before
most weights are zero. Starts from the dense network. Source: Han et al. 2015, section 3. Deviation: one shot where
Han et al. iterate pruning and retraining. The default grid of ratios, from nearly none to nearly all, is ours.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, lowest, training


class MagnitudeWeight(Method):
    """Unstructured magnitude pruning with fine-tuning."""

    title = "Weight magnitude"
    reference = "Han et al. 2015, arXiv:1506.02626"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.3, 0.6, 0.8, 0.9, 0.95, 0.98)),
        **training("momentum", 0.1),
    }
    base = "dense"
    fine_tunes = True

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        scores = torch.cat([weight.abs().div_(weight.std()).flatten() for weight in net.weights])
        doomed = lowest(scores, self.ratio).split([weight.numel() for weight in net.weights])
        for weight, part in zip(net.weights, doomed, strict=True):
            weight[part.view_as(weight)] = 0

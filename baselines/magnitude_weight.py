"""Weight magnitude: the smallest single weights go, round by round, and the rest is fine-tuned; unstructured.

Criterion: |w| / σ_l, with σ_l the standard deviation of the weights left in layer l; those of all linear and
convolutional layers, the output layer's too, with the lowest criterion are set to zero: the published threshold, one
multiple of σ_l in every layer, with the multiple found from the ratio. Zeros stay. Starts from the dense network,
half-way, and prunes in four rounds, each of which leaves the same share of the weights before it: three followed by a
third of the training left, the last by fine-tuning. No groups: a channel goes once all its incoming or outgoing
weights are zero, so few parameters go before most weights are zero. Trained and fine-tuned by momentum SGD unless a
study says otherwise. Source: Han et al. 2015, section 3, iterative pruning. `decay` is the d of their L2, (d/2) ‖all
parameters‖², while it is retrained between rounds; none by default. Deviations: the number of rounds, and retraining
with the learning rate that the study gives, where they take a tenth or a hundredth of the first one. The default grid
of ratios, from nearly none to nearly all, is ours.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, lowest, training

ROUNDS = 4


class MagnitudeWeight(Method):
    """Unstructured iterative magnitude pruning with fine-tuning."""

    title = "Weight magnitude"
    reference = "Han et al. 2015, arXiv:1506.02626"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.3, 0.6, 0.8, 0.9, 0.95, 0.98)),
        "decay": Real(None, 0, 1, log=True),
        **training("momentum", 0.1),
    }
    base = "dense"
    trains_base = True
    fine_tunes = True
    version = 2

    def configure_optimizer(self, net):
        return self.build_optimizer(net.module.parameters(), weight_decay=self.decay or 0.0)

    def prepare(self, net, steps):
        self.step, self.steps, self.round = 0, steps, 1
        self.masks = prune(net.weights, self.share_of(1))

    @torch.no_grad()
    def after_step(self, net, lr):
        self.step += 1
        torch._foreach_mul_(net.weights, self.masks)
        if self.step * (ROUNDS - 1) >= self.round * self.steps and self.round < ROUNDS - 1:
            self.round += 1
            self.masks = prune(net.weights, self.share_of(self.round))

    def silence(self, net, images: Tensor, labels: Tensor):
        prune(net.weights, self.ratio)

    def share_of(self, number: int) -> float:
        """The share of all weights that is zero after a round, 1 … ROUNDS."""
        return 1 - (1 - self.ratio) ** (number / ROUNDS)


@torch.no_grad()
def prune(weights: list[Tensor], share: float) -> list[Tensor]:
    """Zeroes the share of all weights with the lowest |w| / σ; returns masks like the weights, 0 where one is zero."""
    scores = [weight.abs() / deviation(weight) for weight in weights]
    doomed = lowest(torch.cat([score.flatten() for score in scores]), share).split([w.numel() for w in weights])
    for weight, part in zip(weights, doomed, strict=True):
        weight[part.view_as(weight)] = 0
    return [(weight != 0).to(weight.dtype) for weight in weights]


def deviation(weight: Tensor) -> Tensor:
    """The standard deviation of a tensor's values that are not zero; just above zero where there is none."""
    count, total, squares = torch.count_nonzero(weight), weight.sum(), weight.square().sum()
    variance = (squares - total**2 / count.clamp(min=1)) / (count - 1).clamp(min=1)
    return variance.clamp_min(1e-30).sqrt()

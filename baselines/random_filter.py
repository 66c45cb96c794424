"""The control for pruning criteria: random channels go, and the rest is fine-tuned.

In every group, `ratio` of the channels, drawn uniformly, is silenced wholly. Starts from the dense network.
Fine-tuned by momentum SGD unless a study says otherwise. Source: the random baseline of Li et al. 2017, section 4.4.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, training


class RandomFilter(Method):
    """Random filter pruning with fine-tuning."""

    title = "Random filters"
    reference = "control; Li et al. 2017, arXiv:1608.08710"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96)),
        **training("momentum", 0.1),
    }
    base = "dense"
    fine_tunes = True
    version = 2

    def silence(self, net, images: Tensor, labels: Tensor):
        for group in net.groups:
            order = torch.randperm(group.size, generator=self.generator)
            doomed = torch.zeros(group.size, dtype=torch.bool)
            doomed[order[: int(self.ratio * group.size)]] = True
            group.silence(doomed.to(images.device))

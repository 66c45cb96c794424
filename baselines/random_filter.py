"""The control for pruning criteria: random channels go, and the rest is fine-tuned.

In every group, `ratio` of the channels, drawn uniformly, is silenced wholly. Starts from the dense network.
Fine-tuned by momentum SGD unless a study says otherwise. Source: the random baseline of Li et al. 2017, section 4.4.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, pools, scope, share_of, training


class RandomFilter(Method):
    """Random filter pruning with fine-tuning."""

    title = "Random filters"
    reference = "control; Li et al. 2017, arXiv:1608.08710"
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
        for pool in pools(net, self.scope):
            sizes = [net.groups[i].size for i in pool]
            doomed = torch.zeros(sum(sizes), dtype=torch.bool)
            doomed[torch.randperm(sum(sizes), generator=self.generator)[: share_of(sum(sizes), self.ratio)]] = True
            for i, part in zip(pool, doomed.split(sizes), strict=True):
                net.groups[i].silence(part.to(images.device))

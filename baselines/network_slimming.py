"""Network slimming: L1 on the scales of batch norm, then the channels with the smallest scales go.

Objective: loss + λ Σ |γ| + (d/2) ‖all parameters‖², λ's subgradient λ sign(γ) added to γ's gradient, d the weight
decay; γ starts at 0.5, save in a norm that a checkpoint has trained. After training, the `ratio` of channels with the
lowest |γ| over all groups together, the mean where several norms lie on a channel, is silenced wholly, γ and β
included, and the rest is fine-tuned. One training serves all ratios. Source: Liu et al. 2017, equation 1 and section 3;
d = 1e-4 as there, and λ = 1e-4 as there for CIFAR's VGG: it depends on the task, and has to be tuned. SGD with
Nesterov's momentum 0.9 as there. Deviations: fine-tuning is without weight decay, as for every method here, unless a
protocol has one; norms on channels that cannot be removed are left as they are; where a residual stream couples layers,
its channels go together. On MNIST they rank within each layer: `scope` = "layer". The default grid of ratios, from
nearly none to nearly all, is ours.
"""

import torch
from torch import Tensor

from benchmark.method import Method, Real, scope, silence_lowest, training


class NetworkSlimming(Method):
    """L1 on γ, then a global percentile."""

    title = "Network slimming"
    reference = "Liu et al. 2017, arXiv:1708.06519"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96)),
        "strength": Real(1e-4, 0, 1, log=True),
        "decay": Real(1e-4, 0, 1, log=True),
        "scope": scope("global"),
        **training("nesterov", 0.1),
    }
    base = "network_slimming"
    fine_tunes = True
    version = 2

    @torch.no_grad()
    def prepare(self, net, steps):
        scales = [site.layer.weight for group in net.groups for site in group.norms]
        self.scales = list(dict.fromkeys(scales))  # one norm may span several groups
        for group in net.groups:
            group.scales()  # raises here, not after training, where a group has no norm
        for scale in self.scales:
            if (scale == scale[0]).all():
                scale.fill_(0.5)

    def configure_optimizer(self, net):
        return self.build_optimizer(net.module.parameters(), weight_decay=self.decay)

    @torch.no_grad()
    def after_backward(self, net):
        grads = [scale.grad for scale in self.scales]
        torch._foreach_add_(grads, torch._foreach_sign(self.scales), alpha=self.strength)

    def silence(self, net, images: Tensor, labels: Tensor):
        silence_lowest(net, [group.scales() for group in net.groups], self.ratio, self.scope)

"""Adam on an L2-regularised loss, with the channels' death seen in the scale of batch norm.

Objective: loss + (λ/2) ‖all parameters‖², coupled, biases and norms included, as in `implicit`. Silenced after
training: every channel with |γ_k| ≤ ξ, wholly: incoming weights, bias, γ and β; a channel on which several norms sit
counts with Σ |γ|. Source: Mehta et al. 2019, sections 2 and 3; ξ = 1e-2, where the published code has 1e-3 and 1e-4:
Adam keeps a dead γ moving to and fro by a few learning rates, 3e-3 after a short training. λ's default grid is ours,
found by what it removes. Deviation: the network is any with batch norm, and one without is refused.
"""

from torch import Tensor

from benchmark.method import Method, Real, Threshold, training


class ImplicitScale(Method):
    """Adam + L2, silent where γ is."""

    title = "Adam + L2, by scale"
    reference = "Mehta et al. 2019, arXiv:1811.12495"
    knob = "strength"
    space = {
        "strength": Real(1e-3, 0, 10, log=True, grid=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)),
        "threshold": Threshold(1e-2),
        **training("adam", 1e-3),
    }

    def configure_optimizer(self, net):
        return self.build_optimizer(net.module.parameters(), weight_decay=self.strength)

    def silence(self, net, images: Tensor, labels: Tensor):
        for group in net.groups:
            group.silence(group.scales() <= self.threshold)

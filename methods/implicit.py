"""Adam on an L2-regularised loss: channels of a rectifier network die by themselves.

Objective: loss + (λ/2) ‖all parameters‖², the penalty's gradient λw inside the optimiser (coupled), biases and norms
included. Silenced after training: the incoming weights of every channel k with ‖w_k‖₂ < ξ; what it still emits is
constant and stays exact. Groups: incoming weights, no size factor. Source: Yaguchi et al. 2018, sections 3 and 4; λ
and the learning rate are not in the public text, so λ's range is ours, found by what it removes. With another
optimiser than Adam it is the paper's own comparison; "adamw" decouples the decay. `epsilon` is the ε in Adam's
denominator, torch's own unless a study sets it; other adaptive optimisers have one too.
"""

from torch import Tensor

from benchmark.method import Method, Real, Threshold, training


class Implicit(Method):
    """Adam + L2, silent below ξ."""

    title = "Adam + L2 (implicit)"
    reference = "Yaguchi et al. 2018, arXiv:1812.08119"
    knob = "strength"
    space = {
        "strength": Real(1e-3, 0, 10, log=True, grid=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)),
        "threshold": Threshold(1e-15),
        "epsilon": Real(None, 1e-16, 1, log=True),
        **training("adam", 1e-3),
    }

    def configure_optimizer(self, net):
        options = {} if self.epsilon is None else {"eps": self.epsilon}
        return self.build_optimizer(net.module.parameters(), weight_decay=self.strength, **options)

    def silence(self, net, images: Tensor, labels: Tensor):
        for group in net.groups:
            group.zero_incoming(group.incoming_norms() < self.threshold)

"""The control: the loss with a small L2 penalty, nothing silenced.

Objective: loss + (λ/2) ‖all parameters‖². Momentum SGD as the field's usual baseline; its network, trained without
the fine-tuning epochs, is also what post-training methods start from.
"""

from benchmark.method import Method, Real, training


class Dense(Method):
    """The unreduced network."""

    title = "Dense"
    reference = "control"
    knob = None
    space = {"strength": Real(5e-4, 0, 1, log=True), **training("momentum", 0.1)}

    def configure_optimizer(self, net):
        return self.build_optimizer(net.module.parameters(), weight_decay=self.strength)

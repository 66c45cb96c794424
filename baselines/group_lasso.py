"""Group lasso by proximal steps.

Objective: loss + λ Σ_g √|g| ‖w_g‖₂ over the channel groups, g the incoming weights of one hidden channel and |g|
their number; `direction` = "outgoing" takes the weights that a channel sends on, as Scardapane et al. do. After each
optimiser step, w_g ← w_g (1 − sλ√|g| / ‖w_g‖₂)₊, so zeros are exact; s = η / (1 − μ) at learning rate η and momentum μ,
the size of the optimiser's own step. Optimisers are SGD's kinds; with Adam it is `proximal_adam`. Source: Yuan and Lin
2006, equation 2.1; Scardapane et al. 2017, equation 7; Yun, Lozano and Yang 2021 for s. λ's default range is ours,
found by what it removes. Where a task has single features, they are groups too, of the weights that read them, as
Scardapane et al. have their inputs. Deviations: they differentiate the norm, here are proximal steps; the incoming
weights are the default, so that methods are comparable; the output layer's own columns are no groups.
"""

import torch

from benchmark.method import DESCENT, Choice, Method, Real, shrink, shrink_outgoing, training


class GroupLasso(Method):
    """Proximal group lasso on incoming or outgoing weights."""

    title = "Group lasso"
    reference = "Scardapane et al. 2017, arXiv:1607.00485"
    knob = "strength"
    space = {
        "strength": Real(1e-4, 0, 10, log=True, grid=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)),
        "direction": Choice("incoming", ("incoming", "outgoing")),
        **training("momentum", 0.1, DESCENT),
    }
    version = 2

    @torch.no_grad()
    def after_step(self, net, lr):
        strength = self.step_size(lr) * self.strength
        for group in net.groups:
            if self.direction == "incoming":
                shrink(group, strength * group.fan_in**0.5)
            else:
                shrink_outgoing(group, strength * group.fan_out**0.5)
        for group in net.features:
            shrink_outgoing(group, strength * group.fan_out**0.5)

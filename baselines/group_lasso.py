"""Group lasso by proximal steps.

Objective: loss + λ Σ_g √|g| ‖w_g‖₂ over the channel groups, g the incoming weights of one hidden channel and |g|
their number; `direction` = "outgoing" takes the weights that a channel sends on, as Scardapane et al. do. After each
optimiser step at learning rate η, w_g ← w_g (1 − ηλ√|g| / ‖w_g‖₂)₊, so zeros are exact. Source: Yuan and Lin 2006,
equation 2.1; Scardapane et al. 2017, equation 7. λ's default range is ours, found by what it removes. Deviations:
Scardapane et al. differentiate the norm, here are proximal steps; the incoming weights are the default, so that methods
are comparable; the output layer's own columns are no groups.
"""

import torch

from benchmark.method import Choice, Method, Real, shrink, training


class GroupLasso(Method):
    """Proximal group lasso on incoming or outgoing weights."""

    title = "Group lasso"
    reference = "Scardapane et al. 2017, arXiv:1607.00485"
    knob = "strength"
    space = {
        "strength": Real(1e-3, 0, 10, log=True, grid=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
        "direction": Choice("incoming", ("incoming", "outgoing")),
        **training("momentum", 0.1),
    }

    @torch.no_grad()
    def after_step(self, net, lr):
        for group in net.groups:
            if self.direction == "incoming":
                shrink(group, lr * self.strength * group.fan_in**0.5)
            else:
                amount = lr * self.strength * group.fan_out**0.5
                group.scale_outgoing((1 - amount / group.outgoing_norms().clamp_min_(1e-30)).clamp_min_(0))

"""One line: what the method does to the network.

Objective or criterion, in plain text with the paper's equation number, for example s_k = ‖w_k‖₂ over the incoming
weights of channel k. What is silenced and when. Which groups (incoming or outgoing weights), which size factor. Where
the knob's default range comes from. Every deviation from the paper. Source: authors, year, section.
"""

from torch import Tensor

from benchmark.method import Method, Real, training


class Template(Method):
    """The name of the method, as the paper has it."""

    title = "Template"  # what the legend says
    reference = "Author et al. 2024, arXiv:0000.00000"
    knob = "ratio"  # the key of `space` that trades size for accuracy
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.96)),
        **training("momentum", 0.1),
    }
    base = "dense"  # start from its trained network; None trains from scratch
    fine_tunes = True  # spend the protocol's fine-tuning epochs on the reduced network

    # Override what the paper changes; see benchmark/method/interface.py for all hooks. While training:
    #   prepare(net, steps)       initialise               configure_optimizer(net)  another optimiser
    #   penalty(net)              a term of the loss       after_backward(net)       its gradient, in closed form
    #   after_step(net, lr)       a proximal step, a mask

    def silence(self, net, images: Tensor, labels: Tensor):
        """After training: set the parameters of doomed channels to zero; the benchmark removes and measures."""
        for group in net.groups:
            order = group.incoming_norms().argsort(stable=True)
            doomed = order.new_zeros(group.size, dtype=bool)
            doomed[order[: int(self.ratio * group.size)]] = True
            group.silence(doomed)

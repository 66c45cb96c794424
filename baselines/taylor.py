"""Taylor: the channels whose removal changes the loss least, to first order, go, and the rest is fine-tuned.

Criterion: (∂loss/∂z_k)², averaged over batches of 64 training samples in evaluation mode, z_k = 1 a gate on channel k:
∂loss/∂z_k = Σ g·w over the parameters that scale it, γ and β of its norms, of all where several follow each other, or,
without a norm, its incoming weights and biases. The `ratio` of channels with the lowest criterion over all groups
together is silenced wholly. Starts from the dense network. Fine-tuned by momentum SGD unless a study says otherwise.
Source: Molchanov et al. 2019, section 3, the first-order form, with the gate behind batch norm as they place it; summed
under batch norm over the incoming weights it would be near zero, since the loss does not depend on their length.
Deviation: one shot where they remove some channels every few batches while fine-tuning. The default grid of ratios,
from nearly none to nearly all, is ours.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmark.method import Method, Real, channel_sum, scope, silence_lowest, training

BATCH = 64


class Taylor(Method):
    """First-order Taylor pruning with fine-tuning."""

    title = "Taylor"
    reference = "Molchanov et al. 2019, arXiv:1906.10771"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "scope": scope("global"),
        **training("momentum", 0.1),
    }
    base = "dense"
    fine_tunes = True
    version = 2

    def silence(self, net, images: Tensor, labels: Tensor):
        silence_lowest(net, self.scores(net, images, labels), self.ratio, self.scope)

    def scores(self, net, images: Tensor, labels: Tensor) -> list[Tensor]:
        """The criterion's sum over batches, by group."""
        module, training = net.module, net.module.training
        module.eval()
        layers = [site.layer for group in net.groups for site in _gates(group)]
        scaling = dict.fromkeys(p for layer in layers for p in (layer.weight, layer.bias) if p is not None)
        parameters = [p for p in scaling if p.requires_grad]
        totals = [torch.zeros_like(group.incoming_norms()) for group in net.groups]
        for batch, targets in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            loss = cross_entropy(module(batch), targets)
            found = torch.autograd.grad(loss, parameters, materialize_grads=True)
            gradients = dict(zip(parameters, found, strict=True))
            for total, group in zip(totals, net.groups, strict=True):
                total += _gate_gradient(group, gradients).square_()
        module.train(training)
        return totals


def _gates(group) -> tuple:
    return group.norms or group.writers


@torch.no_grad()
def _gate_gradient(group, gradients: dict[Tensor, Tensor]) -> Tensor:
    """∂loss/∂z of every channel's gate, shape (size,)."""
    parts = []
    for site in _gates(group):
        for parameter in (site.layer.weight, site.layer.bias):
            if parameter is not None:
                products = parameter * gradients.get(parameter, 0)  # what is frozen has none
                parts.append((site, products.flatten(1).sum(1) if products.dim() > 1 else products))
    return channel_sum(group, parts)

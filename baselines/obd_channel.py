"""OBD for channels: those whose removal changes the loss least to second order go, and the rest is fine-tuned.

Criterion: s_k = Σ_i F_ii w_i² over the incoming weights of channel k, F_ii the mean of the squared gradient of one
sample's loss, a diagonal of the Fisher information in place of the Hessian; from training samples, 1,024 at most, with
their labels and in evaluation mode. The `ratio` of channels with the lowest s_k over all groups together is silenced
wholly. Starts from the dense network. Fine-tuned by momentum SGD unless a study says otherwise. Source: Wang et al.
2019, C-OBD in section 3; LeCun et al. 1989 for single weights. Deviations: one shot; the data's own labels, as
PruningBench has them, where Wang et al. draw them from the network's prediction; s_k as it is, the loss's change,
where PruningBench divides it by its group's mean. The default grid of ratios, from nearly none to nearly all, is ours.
"""

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from benchmark.method import Method, Real, channel_sum, scope, silence_lowest, training

SAMPLES, BATCH = 1024, 16  # a batch holds as many gradients of the whole network


class OBDChannel(Method):
    """Second-order pruning with the Fisher diagonal and fine-tuning."""

    title = "OBD-C"
    reference = "Wang et al. 2019, arXiv:1905.05934"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "scope": scope("global"),
        **training("momentum", 0.1),
    }
    base = "dense"
    fine_tunes = True

    def silence(self, net, images: Tensor, labels: Tensor):
        silence_lowest(net, scores(net, images[:SAMPLES], labels[:SAMPLES]), self.ratio, self.scope)


def scores(net, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Σ_i F_ii w_i² of every channel, by group."""
    module, training = net.module, net.module.training
    module.eval()
    values = {name: parameter.detach() for name, parameter in module.named_parameters()}

    def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(functional_call(module, weights, image.unsqueeze(0)), label.unsqueeze(0))

    squares = {name: torch.zeros_like(value) for name, value in values.items()}
    for batch, targets in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        for name, gradients in vmap(grad(loss), in_dims=(None, 0, 0))(values, batch, targets).items():
            squares[name] += gradients.square().sum(0) / len(images)
    module.train(training)
    return [
        channel_sum(group, [(site, _saliency(site, squares[f"{site.name}.weight"])) for site in group.writers])
        for group in net.groups
    ]


def _saliency(site, fisher: Tensor) -> Tensor:
    """Σ F w² over each row of a layer's weight."""
    return (fisher * site.layer.weight.detach().square()).flatten(1).sum(1)

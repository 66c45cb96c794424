"""VIBNet: noise on every channel, and a price on what gets through it: the variational information bottleneck.

Objective: E_z[loss] + (κ/2) Σ_k log(1 + μ_k² / σ_k²); the output of channel k, behind its norms, or of its layers where
there is none, is multiplied by z_k = μ_k + σ_k ε, ε standard normal, drawn anew for every sample, and for every norm
where several lie on a channel; a layer that joins a stream past them has none. Validation takes z_k = μ_k, or 0 where
log σ_k² ≥ log μ_k². Silenced wholly are those channels; μ goes into γ and β, or weights and bias. While it trains, z
comes in by hooks, which `silence` takes away; the optimiser holds μ and log σ² beside the network's own parameters.
Start: μ = 1 and log σ² = −9, each with a deviation of 0.01. Source: Dai et al. 2018, section 3, and the published code.
Single features, where a task has them, have such a z each. κ's default range is ours, found by what it removes, and so
is the learning rate. Deviations: z before the rectifier, where they have it behind: the same while z > 0; every group
has the same κ, where they weigh layers by their size; trained from scratch, with Adam and without decay of μ and σ,
where they take SGD with decay.
"""

import torch
from torch import Tensor

from benchmark.method import DESCENT, Method, Real, rows, training

TINY = 1e-8


class VIBNet(Method):
    """Channels cut where the noise outweighs them."""

    title = "VIBNet"
    reference = "Dai et al. 2018, arXiv:1802.10399"
    knob = "strength"
    space = {
        "strength": Real(6e-5, 0, 100, log=True, grid=(2e-6, 2e-5, 6e-5, 4e-4, 3e-3, 1e-2)),  # κ
        **training("adam", 0.01, ("adam", *DESCENT)),
    }

    def prepare(self, net, steps):
        self.gates, self.hooks = [], []
        self.groups = [*net.groups, *net.features]
        for group in self.groups:
            spread = 0.01 * torch.randn(2, group.size, generator=self.generator).to(net.weights[0])
            means, logs = torch.nn.Parameter(spread[0] + 1), torch.nn.Parameter(spread[1] - 9)
            self.gates.append((means, logs))
            for site in group.norms or group.writers:
                self.hooks.append(site.layer.register_forward_hook(self._multiplier(site, means, logs)))
            for site in () if group.writers else group.readers:
                multiply = self._multiplier(site, means, logs)
                self.hooks.append(site.layer.register_forward_pre_hook(lambda m, x, f=multiply: f(m, x, x[0])))

    def _multiplier(self, site, means: Tensor, logs: Tensor):
        """The hook that multiplies a layer's outputs, or for single features its inputs, by their gates."""

        def multiply(layer, inputs, values: Tensor) -> Tensor:
            if layer.training:
                noise = torch.randn(len(values), len(means), generator=self.generator).to(means)
                gates = means + (logs / 2).exp() * noise
            else:
                gates = tested_gates(means, logs).unsqueeze(0)
            axis = values.dim() - 1 if isinstance(layer, torch.nn.Linear) else 1
            ones = gates.new_ones(len(gates), values.shape[axis])
            factors = ones.index_copy(1, site.positions, gates[:, site.channels])
            shape = [-1 if i == axis else 1 for i in range(1, values.dim())]
            return values * factors.unflatten(1, shape)

        return multiply

    def configure_optimizer(self, net):
        return self.build_optimizer([*net.module.parameters(), *(part for gates in self.gates for part in gates)])

    def penalty(self, net) -> Tensor:
        return self.strength / 2 * sum(torch.log1p(m**2 / (logs.exp() + TINY)).sum() for m, logs in self.gates)

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        for hook in self.hooks:
            hook.remove()
        for group, (means, logs) in zip(self.groups, self.gates, strict=True):
            gates = tested_gates(means, logs)
            if not group.writers:
                group.scale_outgoing(gates)
            for site in group.norms or group.writers:
                factors = rows(site, gates, 1)
                site.layer.weight.mul_(factors)
                if site.layer.bias is not None:
                    site.layer.bias.mul_(factors.flatten())
            group.silence(gates == 0)


@torch.no_grad()
def tested_gates(means: Tensor, logs: Tensor) -> Tensor:
    """μ, or 0 where the noise outweighs it."""
    return means * (logs < torch.log(means**2 + TINY))

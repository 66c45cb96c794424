"""Hard-concrete gates: the expected number of weights kept, L0, as a differentiable penalty.

Objective: E_z[loss] + Σ_k P(z_k ≠ 0) (λ |g_k| + (d/2) ‖g_k‖²). With `place` = "behind" z_k multiplies channel k behind
its norms (γ and β), or its incoming weights and bias where there is none, and |g_k| is the number of its incoming
weights, while d weighs what z_k multiplies. A layer that joins a stream past a group's norms has no gate, though it is
silenced with the rest. "before", for networks without norm, is as published: z_k multiplies what a convolution makes or
what a dense layer reads, single features too where a task has them, and g_k is the filter, or the weights that read k.
With u uniform on (0, 1), s = σ((log u − log(1 − u) + log α) / β), z = min(1, max(0, s(ζ − γ) + γ)), P(z ≠ 0) = σ(log α
− β log(−γ/ζ)), β = 2/3, γ = −0.1, ζ = 1.1. One z is drawn a step, for the whole batch. The module keeps its shape: the
optimiser holds log α and the ungated parameters, the chain rule gives their gradients, and their product with z is
written back. In the last tenth of the steps log α rests and z is the deterministic one of the test, min(1, max(0, σ(log
α)(ζ − γ) + γ)). With `averaging` a there is no such tenth: the network that is tested and kept is the mean of all
steps' parameters and log α, each step weighed a times as much as the next. Silenced: channels whose test-time z is
zero. Source: Louizos et al. 2018, sections 2 and 4, and for "before" the published code; z starts at a drop rate of
0.5, and of 0.2 on inputs. λ's range is ours, and so is the learning rate: a gate closes for good at log α = −2.4, which
Adam needs 2.4 / η steps to reach. Deviations: λ is not divided by the number of samples; no weight decay d unless a
study sets it; the last tenth, since their networks have no batch norm, whose running statistics would be those of drawn
gates; log α starts without noise and is not clamped; weights start as everywhere.
"""

import math
from contextlib import contextmanager

import torch
from torch import Tensor

from benchmark.method import DESCENT, Method, Real, Variant, channel_sum, columns, rows, training

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1
DROP_RATE, INPUT_DROP_RATE = 0.5, 0.2
RESTING = 0.1  # share of the steps, the last, in which gates are those of the test


class HardConcrete(Method):
    """L0 regularisation of channels by stochastic gates."""

    title = "L0 (hard concrete)"
    reference = "Louizos et al. 2018, arXiv:1712.01312"
    knob = "strength"
    space = {
        "strength": Real(1e-5, 0, 10, log=True, grid=(1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 1e-3)),
        "place": Variant("behind", ("behind", "before")),
        "decay": Real(None, 0, 1, log=True),  # d
        "averaging": Real(None, 0, 0.99999),  # a
        **training("adam", 3e-3, ("adam", *DESCENT)),
    }
    version = 2

    @torch.no_grad()
    def prepare(self, net, steps):
        self.left, self.resting = steps, 0.0 if self.averaging else RESTING * steps
        self.groups, self.gated = [], []  # of the latter by group: site, parameter, and its ungated copy
        for group, sites in gated_sites(net, self.place):
            parameters = [(s, p) for s in sites for p in (s.layer.weight, s.layer.bias if s.dim == 0 else None)]
            self.groups.append(group)
            self.gated.append([(site, p, torch.nn.Parameter(p.clone())) for site, p in parameters if p is not None])
        self.logits = [
            torch.nn.Parameter(start(group, parts)) for group, parts in zip(self.groups, self.gated, strict=True)
        ]
        self._write(self._draw())

    def configure_optimizer(self, net):
        triples = [triple for parts in self.gated for triple in parts]
        replaced = {id(parameter) for _, parameter, _ in triples}
        others = [parameter for parameter in net.module.parameters() if id(parameter) not in replaced]
        self.trained = [*self.logits, *(ungated for *_, ungated in triples), *others]
        self.sums, self.weight = [torch.zeros_like(parameter) for parameter in self.trained], 0.0
        return self.build_optimizer(self.trained)

    @torch.no_grad()
    def after_backward(self, net):
        for group, logits, gated, (gates, slope) in zip(self.groups, self.logits, self.gated, self.drawn, strict=True):
            kept = torch.sigmoid(logits - BETA * math.log(-LOW / HIGH))
            parts, costs = [], (self.strength * _size(group, gated)).to(kept)
            for site, parameter, ungated in gated:
                parts.append((site, _by_channel(site, parameter.grad * ungated)))
                ungated.grad = parameter.grad.mul_(_spread(site, gates, parameter))
                parameter.grad = None  # the optimiser, which does not hold the parameter, would not clear it
                if self.decay and parameter is site.layer.weight:
                    costs += self.decay / 2 * channel_sum(group, [(site, _by_channel(site, ungated**2))])
                    ungated.grad.addcmul_(ungated, _spread(site, kept, parameter), value=self.decay)
            if slope is None:
                logits.grad = None  # the optimiser passes over it
                continue
            logits.grad = channel_sum(group, parts) * slope + costs * kept * (1 - kept)

    @torch.no_grad()
    def after_step(self, net, lr):
        self.left -= 1
        if self.averaging:
            torch._foreach_lerp_(self.sums, self.trained, 1 - self.averaging)
            self.weight += (1 - self.averaging) * (1 - self.weight)
            if self.left == 0:
                self._take_means()
        self._write(self._draw())

    @contextmanager
    def tested(self, net):
        """The means under the deterministic gates; without averaging the network is as it is."""
        if not self.averaging or self.left == 0:
            yield
            return
        with torch.no_grad():
            own, drawn = [parameter.clone() for parameter in self.trained], self.drawn
            self._take_means()
            self._write([(deterministic_gates(logits), None) for logits in self.logits])
        yield
        with torch.no_grad():
            torch._foreach_copy_(self.trained, own)
            self._write(drawn)

    def _take_means(self):
        torch._foreach_copy_(self.trained, torch._foreach_div(self.sums, self.weight))

    def _draw(self) -> list[tuple[Tensor, Tensor | None]]:
        """The next z of every group with its derivative by log α, or the deterministic one without."""
        drawing = self.left > self.resting
        return [self._sample(logits) if drawing else (deterministic_gates(logits), None) for logits in self.logits]

    def _write(self, drawn: list[tuple[Tensor, Tensor | None]]):
        """Writes the gated parameters."""
        self.drawn = drawn
        for (gates, _), gated in zip(drawn, self.gated, strict=True):
            for site, parameter, ungated in gated:
                torch.mul(ungated, _spread(site, gates, parameter), out=parameter)

    def _sample(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """One z a channel, and its derivative by log α."""
        uniform = torch.rand(logits.shape, generator=self.generator).clamp_(1e-6, 1 - 1e-6).to(logits)
        smooth = torch.sigmoid((uniform.logit() + logits) / BETA)
        stretched = smooth * (HIGH - LOW) + LOW
        inside = (stretched > 0) & (stretched < 1)
        return stretched.clamp(0, 1), inside * (HIGH - LOW) * smooth * (1 - smooth) / BETA

    @torch.no_grad()
    def silence(self, net, images: Tensor, labels: Tensor):
        for group, logits in zip(self.groups, self.logits, strict=True):
            group.silence(deterministic_gates(logits) == 0)


def gated_sites(net, place: str) -> list[tuple]:
    """Every gated group, with the sites whose parameters its gates multiply. Raises ValueError."""
    if place == "behind":
        return [(group, group.norms or group.writers) for group in net.groups]
    if any(group.norms for group in net.groups):
        raise ValueError('place = "before" is for networks without norm')
    made = {id(group): all(site.layer.weight.dim() > 2 for site in group.writers) for group in net.groups}
    gated = [(group, group.writers if made.get(id(group)) else group.readers) for group in (*net.features, *net.groups)]
    names = [site.name for _, sites in gated for site in sites]
    if len(set(names)) < len(names):
        raise ValueError('place = "before" is for networks whose layers each read one group')
    return gated


def start(group, parts: list[tuple]) -> Tensor:
    """The first log α of a group."""
    rate = INPUT_DROP_RATE if group.name == "inputs" else DROP_RATE
    return parts[0][1].new_full((group.size,), math.log((1 - rate) / rate))


def deterministic_gates(logits: Tensor) -> Tensor:
    """The deterministic z of the trained network."""
    return (torch.sigmoid(logits) * (HIGH - LOW) + LOW).clamp(0, 1)


def _size(group, gated: list[tuple]) -> Tensor:
    return group.fan_in if gated[0][0].dim == 0 else group.fan_out


def _by_channel(site, values: Tensor) -> Tensor:
    """The sum of what belongs to each of the layer's outputs, or inputs, in the shape of its weight or bias."""
    if values.dim() == 1:
        return values
    return values.flatten(1).sum(1) if site.dim == 0 else values.sum(0)


def _spread(site, gates: Tensor, parameter: Tensor) -> Tensor:
    """The channels' gates, shaped to multiply a layer's weight or bias, 1 for rows of no channel."""
    if site.dim == 1:
        return columns(site, gates)
    spread = rows(site, gates, 1)
    return spread if parameter is site.layer.weight else spread.flatten()

"""The control for pruning as such: the reduced shape, trained from scratch.

Objective: loss + (λ/2) ‖all parameters‖², as `dense`. Before training channels of every group, drawn uniformly, are
silenced wholly, and after every step again: what trains is the network of the reduced width, for all epochs of the
protocol. `left` says how many channels of each group remain, in the network's order ("184", or "16-30-64" for three
groups), as another method ended with them; the `ratio` beside it only names the point: the share of all hidden channels
that is gone. Without `left` the `ratio` of every group's channels goes. A layer that reads a narrowed one starts with
weights as large as its own fan-in asks for: those drawn for the dense width, times √(inputs / inputs left). Trained by
momentum SGD unless a study says otherwise. Source: Liu et al. 2019, section 3, whose Scratch-E has the same number of
epochs. Deviations: without `left` the same ratio in every layer; biases start as at the dense width; behind a sigmoid a
silenced channel emits 0.5, which its readers go on using as a bias. The default grid of ratios, from nearly none to
nearly all, is ours.
"""

import torch

from benchmark.method import Method, Real, Text, share_of, training


class Scratch(Method):
    """A narrower network, trained from its initial weights."""

    title = "From scratch"
    reference = "Liu et al. 2019, arXiv:1810.05270"
    knob = "ratio"
    space = {
        "ratio": Real(0.5, 0, 1, grid=(0.02, 0.3, 0.5, 0.7, 0.85, 0.95)),
        "left": Text("", r"(\d+(-\d+)*)?"),
        "strength": Real(5e-4, 0, 1, log=True),
        **training("momentum", 0.1),
    }
    version = 2
    starts_anew = True

    @torch.no_grad()
    def prepare(self, net, steps):
        self.doomed = []
        for group, left in zip(net.groups, self.shape([group.size for group in net.groups]), strict=True):
            drawn = torch.rand(group.size, generator=self.generator).argsort(stable=True)
            doomed = torch.zeros(group.size, dtype=torch.bool)
            doomed[drawn[: group.size - left]] = True
            self.doomed.append(doomed.to(group.writers[0].layer.weight.device))
            group.silence(self.doomed[-1])
        self._widen(net)

    def _widen(self, net):
        """Scales every reader's weights by √(inputs / inputs left)."""
        gone = {}  # by reader, how many of its inputs
        for group, doomed in zip(net.groups, self.doomed, strict=True):
            for site in group.readers:
                lost = int(doomed[site.channels].sum())
                gone[site.layer] = gone.get(site.layer, 0) + lost
        for layer, lost in gone.items():
            inputs = layer.weight.shape[1] * getattr(layer, "groups", 1)
            growth = (inputs / max(inputs - lost, 1)) ** 0.5 - 1
            layer.weight.mul_(1 + layer.weight.new_tensor(growth))

    def shape(self, sizes: list[int]) -> list[int]:
        """How many channels of each group are left. Raises ValueError where `left` does not fit the groups' sizes."""
        if not self.left:
            return [size - share_of(size, self.ratio) for size in sizes]
        left = [int(count) for count in self.left.split("-")]
        if len(left) != len(sizes) or not all(0 < count <= size for count, size in zip(left, sizes, strict=True)):
            whole = "-".join(map(str, sizes))
            raise ValueError(
                f"left = {self.left!r} does not fit groups of {whole}: from 1 to all of each group's channels"
            )
        return left

    def configure_optimizer(self, net):
        return self.build_optimizer(net.module.parameters(), weight_decay=self.strength)

    def after_step(self, net, lr):
        for group, doomed in zip(net.groups, self.doomed, strict=True):
            group.silence(doomed)

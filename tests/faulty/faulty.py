"""Methods that fail in every way a sweep must survive."""

import ctypes
import os
import signal
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmark.method import Method, training

KEPT = []
if "KEEP_STATES" in os.environ:  # after every epoch, not every minute
    from benchmark.runner import states

    states.INTERVAL = 0


class Raises(Method):
    """Raises while training."""

    title, reference, knob, space = "Raises", "test", None, training("sgd", 0.1)

    def after_step(self, net, lr):
        raise RuntimeError("deliberate\nwith a second line")


class Dies(Raises):
    """Ends its worker process."""

    title = "Dies"

    def after_step(self, net, lr):
        os._exit(1)


class Diverges(Raises):
    """Has a loss that is not a number."""

    title = "Diverges"

    def after_step(self, net, lr):
        for parameter in net.module.parameters():
            parameter.data.fill_(float("nan"))


class FailsDeep(Raises):
    """Calls what raises elsewhere."""

    title = "Fails deep"

    def after_step(self, net, lr):
        self.deep(net)


class Unnamed(Raises):
    """Was never told whose method it is."""

    title, reference = "Unnamed", "Author et al. 2024, arXiv:0000.00000"


class PrunesAll(Raises):
    """Leaves no living channel."""

    title = "Prunes all"

    def after_step(self, net, lr):
        pass

    def silence(self, net, images, labels):
        for group in net.groups:
            group.silence(group.incoming_norms() >= 0)


class Meddles(Raises):
    """Changes the loss of all."""

    title = "Meddles"

    def after_step(self, net, lr):
        pass

    def silence(self, net, images, labels):
        F.cross_entropy = lambda output, labels: output.sum()


class Infers(Meddles):
    """Leaves its process without gradients, for good."""

    title = "Infers"

    def silence(self, net, images, labels):
        KEPT.append(torch.inference_mode())
        KEPT[0].__enter__()


class Hangs(Raises):
    """Waits in C for ever, in a way that lets no other thread of its process run."""

    title = "Hangs"

    def after_step(self, net, lr):
        ctypes.PyDLL(None).sleep(3600)


class HungBase(Meddles):
    """Starts from what never ends."""

    title, base = "Hung base", "hangs"


class Mortal(Meddles):
    """Ends its worker process in its third epoch, once; each step is a byte in a file, and draws random numbers."""

    title = "Mortal"

    def prepare(self, net, steps):
        self.steps, self.path = 0, str(Path(os.environ["STEPS"]) / str(steps))

    @torch.no_grad()
    def after_step(self, net, lr):
        self.steps += 1
        net.weights[0].add_(0.01 * torch.randn(net.weights[0].shape, generator=self.generator))
        with Path(self.path).open("ab", buffering=0) as file:
            file.write(b".")
            if self.steps == 10 == file.tell():
                os.kill(os.getpid(), signal.SIGKILL)

    def silence(self, net, images, labels):
        pass


class MortalBase(Mortal):
    """Starts from such a one."""

    title, base, fine_tunes = "Mortal base", "mortal", True

    def prepare(self, net, steps):
        pass


class Slow(Mortal):
    """Does not die, but takes its time."""

    title = "Slow"

    def after_step(self, net, lr):
        time.sleep(0.05)
        self.steps += 1
        with Path(self.path).open("ab", buffering=0) as file:
            file.write(b".")


class Hides(Meddles):
    """A hook holds what training puts another in the place of."""

    title = "Hides"

    def prepare(self, net, steps):
        factor = self.factor = torch.ones(())
        layer = net.groups[0].writers[0].layer
        self.hook = layer.register_forward_hook(lambda module, inputs, output: output + factor)

    def after_step(self, net, lr):
        self.factor = self.factor * 0.9

    def silence(self, net, images, labels):
        self.hook.remove()


class Lingers(Meddles):
    """Stays for ever on a machine that says so; on others it waits until it does."""

    title = "Lingers"

    def prepare(self, net, steps):
        self.steps = os.environ.get("STEPS", os.devnull)

    def after_step(self, net, lr):
        with Path(self.steps).open("ab", buffering=0) as file:
            file.write(b".")

    def silence(self, net, images, labels):
        if "LINGER" in os.environ:
            Path(os.environ["LINGER"]).touch()
            time.sleep(3600)
        while "AWAIT" in os.environ and not Path(os.environ["AWAIT"]).exists():
            time.sleep(0.05)

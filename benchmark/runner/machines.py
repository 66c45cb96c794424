"""The machines of a Ray cluster: waited for, compared with this one, left out where they differ."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmark.errors import UsageError, first_line, some
from benchmark.runner.identity import Identity, Question, identify
from benchmark.runner.in_process import Resources
from benchmark.runner.ray_import import ray

TOLD = 30.0  # seconds between two lines about what is waited for
LOSSES = 3  # times that the same trial or base network may be lost, with workers or machines
LOOKED = 5.0  # seconds between two looks at the cluster


class UnfitError(RuntimeError):
    """A machine is not as the driver's: it has to be left out."""


@dataclass(frozen=True)
class Fitness:
    """What a worker on a machine that nobody has asked yet asks itself. Without a cluster every machine is known."""

    asked: Question
    here: Identity
    known: frozenset[str]

    def check(self) -> None:
        """Raises UnfitError where this machine differs from the driver's."""
        if self.asked.modules and ray.get_runtime_context().get_node_id() not in self.known:
            differences = identify(self.asked).differences(self.here)
            if differences:
                raise UnfitError(some(differences))


class Machines:
    """What a run knows of the machines it may use; `say` is told in a line what they wait for, and who is left out."""

    def __init__(self, resources: Resources, asked: Question, say: Callable[[str], None]):
        self.resources, self.asked, self.say = resources, asked, say
        self.here = identify(asked) if asked.modules else Identity()
        self.answers: dict[str, Any] = {}  # of machines that were asked, by their ids, until they have answered
        self.fit: set[str] = set()
        self.closed: dict[str, list[Any]] = {}  # the machines that are left out, and what holds their cores
        self.looked = self.told = self.served = time.monotonic()

    @property
    def fitness(self) -> Fitness:
        """What a worker has to know of this."""
        return Fitness(self.asked, self.here, frozenset(self.fit))

    def open(self) -> None:
        """Waits for a machine on which a trial fits, and leaves out those that differ from this one.

        Raises UsageError where there is none, on a cluster only after the time that it has to bring one.
        """
        self._wait()
        if self.resources.address is None:
            return
        self._ask()
        started = time.monotonic()
        while self.answers and (not self.fit or time.monotonic() - started < TOLD):
            waiting = list(self.answers.values())
            ray.wait(waiting, num_returns=len(waiting), timeout=TOLD)
            self._hear()
            if self.answers:
                self.say(f"{len(self.answers)} machines have yet to say which code, versions and data they have")
        if not self.fit:
            raise UsageError("no machine of the cluster can run the trials: each differs from this one, as said above")

    def look(self, running: int) -> None:
        """Looks after the cluster while `running` trials run; to be called often.

        Raises UsageError where no machine is left.
        """
        now = time.monotonic()
        if self.resources.address is None or now - self.looked < LOOKED:
            return
        self.looked = now
        self._ask()
        self._hear()
        if running:
            self.told = self.served = now
        if self._fitting():
            self.served = now
        elif now - self.served > 60 * self.resources.wait:
            raise UsageError(f"{self._lack()}; what is done is kept: run the same command to go on")
        self._tell()

    def _wait(self) -> None:
        if self._fitting():
            return
        if self.resources.address is None:
            raise UsageError(f"{self._lack()}; lower --cpus-per-trial or --gpus-per-trial")
        request = {"num_cpus": self.resources.cpus_per_trial, "num_gpus": self.resources.gpus_per_trial}
        wanted = ray.remote(**request)(_nothing).remote()  # a task that waits is what makes a cluster grow
        started = time.monotonic()
        while not self._fitting():
            if time.monotonic() - started > 60 * self.resources.wait:
                raise UsageError(
                    f"{self._lack()} after {self.resources.wait:g} minutes; "
                    "lower --cpus-per-trial or --gpus-per-trial, or give the cluster longer with --wait"
                )
            ray.wait([wanted], timeout=1)
            self._tell()
        ray.cancel(wanted)

    def _ask(self) -> None:
        """Asks every machine that a trial fits on and that has not been asked."""
        for machine in self._fitting():
            node = machine["NodeID"]
            if node not in self.answers and node not in self.fit:
                strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
                asked = ray.remote(num_cpus=0, max_retries=0)(_answer).options(scheduling_strategy=strategy)
                self.answers[node] = asked.remote(self.asked, self.resources)

    def _hear(self) -> None:
        """Takes the answers that have come: a machine is fit, or left out."""
        for node, answer in list(self.answers.items()):
            if not ray.wait([answer], timeout=0)[0]:
                continue
            del self.answers[node]
            try:
                differences = ray.get(answer).differences(self.here)
            except ray.exceptions.RayError as error:
                differences = [f"it cannot run this code ({reason(error)})"]
            if differences:
                self._close(node, differences)
            else:
                self.fit.add(node)

    def _close(self, node: str, differences: list[str]) -> None:
        """Leaves a machine out: its cores are held, so that Ray places nothing on it."""
        machine = next((machine for machine in ray.nodes() if machine["NodeID"] == node), None)
        if machine is None or not machine["Alive"]:
            return
        cores = self.resources.cpus_per_trial
        count = int(machine["Resources"].get("CPU", 0)) // cores
        where = [{"ray.io/node-id": node}]
        self.closed[node] = [
            ray.util.placement_group([{"CPU": cores}], bundle_label_selector=where) for _ in range(count)
        ]
        name = f"{machine['NodeManagerHostname']} ({machine['NodeManagerAddress']})"
        self.say(f"the machine {name} is left out: {some(differences)}")

    def _fitting(self) -> list[dict[str, Any]]:
        """The machines on which a trial fits, but for those that are left out."""
        asked = self._asked()
        return [
            machine
            for machine in ray.nodes()
            if machine["Alive"]
            and machine["NodeID"] not in self.closed
            and all(machine["Resources"].get(name, 0) >= count for name, count in asked.items())
        ]

    def _asked(self) -> dict[str, float]:
        return {"CPU": self.resources.cpus_per_trial, "GPU": self.resources.gpus_per_trial}

    def _lack(self) -> str:
        asked = self._asked()
        machines = [m["Resources"] for m in ray.nodes() if m["Alive"] and m["NodeID"] not in self.closed]
        most = {name: max((machine.get(name, 0) for machine in machines), default=0) for name in asked}
        return f"a trial asks for {_amount(asked)}, and no machine has more than {most['CPU']:g} and {most['GPU']:g}"

    def _tell(self) -> None:
        """Says what is waited for, every half minute."""
        now = time.monotonic()
        if now - self.told < TOLD:
            return
        self.told = now
        every, free = ray.cluster_resources(), ray.available_resources()
        self.say(
            f"waiting for resources: a trial asks for {_amount(self._asked())}; "
            f"the cluster has {_amount(every)}, of which {_amount(free)} are free"
        )


def reason(error: BaseException) -> str:
    """What Ray has to say of an error, in one line: the last of a traceback, the first of anything else."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if isinstance(error, ray.exceptions.RayTaskError) else first_line(lines[0])


def _amount(resources: dict[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPU cores and {resources.get('GPU', 0):g} GPUs"


def _nothing() -> None:
    pass


def _answer(asked: Question, resources: Resources) -> Identity:
    resources.take()
    return identify(asked)

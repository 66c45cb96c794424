"""Runs that are broken off on purpose, to see that they go on."""

from __future__ import annotations

from benchmark.experiment.trial import Trial
from benchmark.runner.states import Kept


class BrokenOffError(BaseException):
    """A run ends here. No Exception, of which a trial would make a record."""


class Interrupting:
    """States in memory, one after every epoch; a run is broken off once `left` have been written, where that is > 0."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.said: list[str] = []
        self.left = 0

    def kept(self, trial: Trial) -> Kept:
        """The trial's states, bound to nothing that changes within a process."""
        return Kept(self, trial.key, "cpu", dict, self.said.append, interval=0)

    def read(self, name: str) -> bytes | None:
        return self.contents.get(name)

    def write(self, name: str, content: bytes) -> None:
        self.contents[name] = content
        self.left -= 1
        if self.left == 0:
            raise BrokenOffError

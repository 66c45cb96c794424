"""How long a trial may take before it counts as hanging."""

from __future__ import annotations

from benchmark.experiment.trial import Trial

LEAST = 1800.0  # seconds that every trial has, where nobody set a limit
TIMES = 20.0  # as long as the longest of its kind, beyond that

Kind = tuple[str, int]


def kind(trial: Trial) -> Kind:
    """What makes trials take about as long: their task, and the epochs that they train themselves."""
    return trial.task.name, trial.protocol.epochs - trial.stages[0]


def base_kind(trial: Trial) -> Kind:
    """The kind of the training that the trial's base network takes."""
    return trial.task.name, trial.stages[0]


class Limits:
    """The limit that was set, or else a generous one, by what the first of a kind took; until then there is none."""

    def __init__(self, minutes: float | None):
        self.given = None if minutes is None else 60 * minutes
        self.longest: dict[Kind, float] = {}  # seconds

    def learn(self, of: Kind, seconds: float) -> None:
        """Takes note of how long one took."""
        self.longest[of] = max(seconds, self.longest.get(of, 0.0))

    def seconds(self, of: Kind) -> float | None:
        """What one of the kind may take; None: as long as it wants."""
        if self.given is not None:
            return self.given
        return LEAST + TIMES * self.longest[of] if of in self.longest else None

    def exceeded(self, of: Kind, seconds: float) -> str | None:
        """What a record says of one that has taken so long, or None where it may go on."""
        limit = self.seconds(of)
        return f"it ran longer than {limit / 60:.3g} minutes" if limit is not None and seconds > limit else None

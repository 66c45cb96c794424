"""Claims about when channels die, judged from a study of conditions by counting seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmark.analysis.conditions import by_level, measured
from benchmark.analysis.intervals import shown, spread
from benchmark.experiment.record import Record
from benchmark.experiment.study import Study

EFFECT = 0.1  # share of dead channels from which on a condition has the effect
NONE = 0.01  # share up to which it has none


@dataclass(frozen=True)
class Claim:
    """A claim, whether it holds, does not hold or is undecided, and what it was judged by."""

    sentence: str
    verdict: str
    evidence: str


@dataclass(frozen=True)
class Condition:
    """A claim that channels die under some levels of a factor and under no other ones."""

    sentence: str
    measure: str  # the record's share of dead channels
    having: tuple[tuple[str, str], ...]  # by factor and level
    lacking: tuple[tuple[str, str], ...]


CLAIMS = (
    Condition(
        "Channels die with Adam and RMSprop, and with no optimiser whose step does not adapt",
        "never_active",
        (("optimizer", "adam"), ("optimizer", "rmsprop")),
        (("optimizer", "sgd"), ("optimizer", "momentum")),
    ),
    Condition(
        "They die with every optimiser that adapts its step",
        "never_active",
        tuple(("optimizer", level) for level in ("adam", "rmsprop", "amsgrad", "adagrad", "adadelta")),
        (),
    ),
    Condition(
        "It takes the L2 penalty inside the optimiser: without it and with decoupled decay none dies",
        "never_active",
        (("penalty", "L2"),),
        (("penalty", "none"), ("penalty", "decoupled, λ = 0.1"), ("optimizer", "adamw")),
    ),
    Condition(
        "No other penalty inside the optimiser does it",
        "never_active",
        (("penalty", "L2"),),
        (("penalty", "L1, λ = 1e-4"), ("penalty", "L1, λ = 1e-3")),
    ),
    Condition(
        "It takes a rectifier: with tanh and sigmoid no channel is removed",
        "channel_sparsity",
        (("activation", "relu"), ("activation", "leaky_relu")),
        (("activation", "tanh"), ("activation", "sigmoid")),
    ),
)


def conditions(study: Study, records: list[Record]) -> Iterator[Claim]:
    """The claims whose levels the study has."""
    levels = by_level(study, records)
    for claim in CLAIMS:
        if all(level in levels for level in claim.having + claim.lacking):
            shares = {level: _shares(levels[level], claim.measure) for level in claim.having + claim.lacking}
            seeds = len(study.seeds)
            evidence = ", ".join(f"{level[1]} {shown(spread(own), seeds)}" for level, own in shares.items())
            name = "never active" if claim.measure == "never_active" else "removed"
            yield Claim(f"`{study.name}`: {claim.sentence}", _verdict(claim, shares, seeds), f"{name}, %: {evidence}")


def _shares(records: list[Record], measure: str) -> list[float]:
    return [share for r in measured(records) if (share := getattr(r, measure)) is not None]


def _verdict(claim: Condition, shares: dict[tuple[str, str], list[float]], seeds: int) -> str:
    """A seed without a result agrees with nothing."""
    effect = {level: sum(share >= EFFECT for share in own) for level, own in shares.items()}
    none = {level: sum(share <= NONE for share in own) for level, own in shares.items()}
    if all(effect[level] == seeds for level in claim.having) and all(none[level] == seeds for level in claim.lacking):
        return "holds"
    contradicted = any(none[level] == seeds for level in claim.having)
    contradicted |= any(effect[level] == seeds for level in claim.lacking)
    return "does not hold" if contradicted else "undecided"

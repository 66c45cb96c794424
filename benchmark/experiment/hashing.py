"""The key of a trial: a hash of exactly what determines its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.experiment.trial import MethodSetting, Protocol, Task, Trial

SCHEMA = 1  # raised when the suite itself would compute other results, or records get another layout


def trial_key(
    schema: int,
    task: Task,
    setting: MethodSetting,
    base: MethodSetting | None,
    protocol: Protocol,
    seed: int,
    fine_tune: bool | None = None,
) -> str:
    """SHA-256 over the canonical JSON of its arguments, as 64 hexadecimal digits.

    Options that are None are left out, so a new option changes no key that was made before it.
    """
    return _digest(_around_seed(schema, task, setting, base, protocol, fine_tune), seed)


def keys_with(trial: Trial, seeds: Iterable[int]) -> list[str]:
    """The keys that the trial would have with other seeds, which may be many."""
    parts = trial.task, trial.setting, trial.base, trial.protocol, trial.fine_tune
    around = _around_seed(SCHEMA, *parts)
    return [_digest(around, seed) for seed in seeds]


def _around_seed(
    schema: int,
    task: Task,
    setting: MethodSetting,
    base: MethodSetting | None,
    protocol: Protocol,
    fine_tune: bool | None,
) -> tuple[str, str]:
    """The canonical JSON of a key, names sorted, up to the seed's value and from there on."""
    option = "" if fine_tune is None else f'"fine_tune":{_json(fine_tune)},'
    before = f'"base":{_json(base and vars(base))},{option}"protocol":{_shared(protocol)},"schema":{_json(schema)}'
    return f'{{{before},"seed":', f',"setting":{_json(vars(setting))},"task":{_shared(task)}}}'


def _digest(around: tuple[str, str], seed: int) -> str:
    return hashlib.sha256(f"{around[0]}{seed}{around[1]}".encode()).hexdigest()


@cache
def _shared(part: Task | Protocol) -> str:
    """What few parts of many keys are."""
    return _json(part.model_dump(mode="json", exclude_none=True))


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)

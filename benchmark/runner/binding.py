"""What a stored training is bound to beside its trial: the content of the data and the code that it ran through."""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from pathlib import Path

import torch

from benchmark.experiment.trial import MethodSetting, Trial
from benchmark.method.registry import get_method
from benchmark.runner.stored import hash_of
from benchmark.runner.trial import examples

PACKAGE = Path(__file__).parents[1]
CODE = (
    *("data/*.py", "experiment/trial.py", "method/*.py", "networks/*.py", "removal/*.py"),
    *(f"runner/{name}.py" for name in ("state", "states", "stored", "threshold", "train", "trial")),
)


def made_of(trial: Trial, *settings: MethodSetting | None) -> dict[str, str]:
    """What else than the trial's key a training by some methods depends on, each as a hash."""
    digest = hashlib.sha256(_code())
    for setting in filter(None, settings):
        source = inspect.getsourcefile(get_method(setting.method))
        digest.update(Path(source).read_bytes() if source else b"")
    return {"data": content(trial), "code": digest.hexdigest()}


@cache
def _code() -> bytes:
    """A hash of the code that a training runs through, torch's version included."""
    digest = hashlib.sha256(torch.__version__.encode())
    for path in sorted(path for pattern in CODE for path in PACKAGE.glob(pattern)):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return digest.digest()


def content(trial: Trial) -> str:
    """A hash of the trial's data: of the files that they lie in, or else of the few samples that a library brings."""
    data = examples(trial)
    splits = (data.train, data.validation, data.test)
    return data.content or hash_of(x for split in splits for x in (split.images, split.labels))

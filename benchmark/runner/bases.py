"""Trained base networks in files, each bound to the data, the code and the trial that it was trained of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmark.experiment.trial import Trial
from benchmark.files import write_whole
from benchmark.runner.binding import made_of
from benchmark.runner.stored import UnfitError, pack, unpack
from benchmark.runner.trial import Base


class BaseStore:
    """Trained base networks in a folder; a file is whole or not there, and holds numbers only.

    `say` is told, in a line, of every file that does not fit: its network is then trained again.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self.folder, self.say = folder, say

    def load(self, trial: Trial) -> Base | None:
        """The trial's base network, where it is stored, unchanged, and of today's data and code."""
        path = self._path(trial)
        if not path.exists():
            return None
        try:
            about, state = unpack(path.read_bytes(), trial.base_key, made_of(trial, trial.base))
            return state, float(about["seconds"])
        except UnfitError as error:
            reason = str(error)
        except OSError as error:
            reason = f"it cannot be read ({error.strerror})"
        self.say(f"the base network in {path} is trained again: {reason}")
        return None

    def save(self, trial: Trial, trained: Base) -> None:
        """Stores the trial's base network. Raises UsageError where that fails."""
        state, seconds = trained
        about = {**made_of(trial, trial.base), "seconds": seconds}
        write_whole(self._path(trial), pack(trial.base_key, about, state))

    def keys(self) -> set[str]:
        """Of which base networks there are files."""
        return {path.stem for path in self.folder.glob("*.npz")}

    def _path(self, trial: Trial) -> Path:
        return self.folder / f"{trial.base_key}.npz"

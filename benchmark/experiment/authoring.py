"""Writes the starting point of a new study."""

from __future__ import annotations

from pathlib import Path

from benchmark.errors import UsageError
from benchmark.experiment.names import STUDIES, check_study_name, study_names
from benchmark.files import write_whole


def new_study(name: str, folder: Path) -> Path:
    """Writes `folder`/NAME.toml, in which every key is explained. Raises UsageError for a name that is taken or odd."""
    check_study_name(name)
    if not name.replace("-", "_").isidentifier():
        raise UsageError(f"{name!r} cannot name a study: use letters, digits, - and _, as in my_study")
    target = folder / f"{name}.toml"
    if target.exists() or name in study_names():
        raise UsageError(f"there is a study {name!r} already; choose another name")
    text = (STUDIES / "_template.toml").read_text(encoding="utf-8")
    write_whole(target, text.replace("NAME", name, 2).encode())
    return target

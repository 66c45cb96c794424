"""The studies that come with the suite, and the names that a study can have."""

from __future__ import annotations

from pathlib import Path

from benchmark.errors import UsageError, unknown

STUDIES = Path(__file__).parents[1] / "studies"
LONGEST = 100  # letters of a name; with what is added, folders and files of this name can be made everywhere


def study_names() -> list[str]:
    """The studies that come with the suite."""
    return sorted(path.stem for path in STUDIES.glob("[!_]*.toml"))


def check_study_name(name: str) -> None:
    """Raises UsageError for a name that no folder of results can have."""
    if not name or name.startswith("."):
        raise UsageError(f"{name!r} cannot name a study: its results lie in a folder of that name")
    if len(name) > LONGEST:
        raise UsageError(f"a study's name has at most {LONGEST} letters, not {len(name)}")
    if not name.isprintable():
        raise UsageError(f"{name!r} cannot name a study: it has letters that cannot be printed")


def study_path(name: str) -> Path:
    """The file of a study by name, or the path itself. Raises UsageError for an unknown name."""
    check_study_name(Path(name).name.removesuffix(".toml"))
    if not name.endswith(".toml") and name not in study_names():
        if Path(f"{name}.toml").is_file():
            raise UsageError(f"unknown study {name!r}; did you mean '{name}.toml'?")
        raise unknown("study", name, study_names())
    return Path(name) if name.endswith(".toml") else STUDIES / f"{name}.toml"

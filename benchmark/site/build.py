"""Builds a static site from the records of studies."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.experiment.brought import NOTE, PINS
from benchmark.experiment.store import Store
from benchmark.experiment.study import load_study
from benchmark.files import write_whole
from benchmark.site.digest import read

if TYPE_CHECKING:
    from benchmark.site.parts import Source


LIBRARY = "assets/plotly.min.js"  # by its path within the site: every page loads it from there
Say = Callable[[str], None]  # is told in a few words what is being done


def silent(text: str) -> None:
    """Says nothing."""


def build(
    studies: dict[str, Path], texts: dict[str, str], folder: Path, say: Say = silent, warn: Say = silent
) -> list[Source]:
    """Writes the whole site of studies, given the folders of their records and their files, into an empty folder.

    `say` is told what is being made, `warn` what is left out. Raises UsageError.
    """
    from plotly.offline import get_plotlyjs

    from benchmark.site.index import write_index
    from benchmark.site.networks import read_kept
    from benchmark.site.page import write_page
    from benchmark.site.parts import Source  # matplotlib and plotly only where they are used
    from benchmark.site.trajectories import read_files

    sources = []
    for place, (name, text) in enumerate(texts.items(), start=1):  # all of them before the first page
        say(f"{name} ({place} of {len(texts)}): reading its records")
        write_whole(folder / name / f"{name}.toml", text.encode())
        copy_whole_lines(studies[name] / "records.jsonl", folder / name / "records.jsonl")
        for note in (studies[name] / NOTE, studies[name] / PINS):  # of a folder of results, or of a published site
            if note.is_file():  # so that a page can be made where the user's own files are not
                write_whole(folder / name / PINS, note.read_bytes())
        study = load_study(str(folder / name / f"{name}.toml"))
        digest = read(study, Store(folder / name))
        kept = read_kept(studies[name], digest.records, warn)
        sources.append(Source(digest, text, read_files(studies[name]), kept))
    for place, (name, source) in enumerate(zip(texts, sources, strict=True), start=1):
        where = f"{name} ({place} of {len(texts)})"
        for path, content in write_page(source, lambda what, where=where: say(f"{where}: {what}")).items():
            write_whole(folder / name / path, content)
    say("the first page")
    for path, content in write_index(sources).items():
        write_whole(folder / path, content)
    write_whole(folder / LIBRARY, get_plotlyjs().encode())
    return sources


def temporary(out: Path) -> tempfile.TemporaryDirectory:
    """A folder on the disk where `out` is or will be. Raises UsageError where that cannot be written to."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    try:
        return tempfile.TemporaryDirectory(prefix=".deadweight-", dir=place)
    except OSError as error:
        raise UsageError(f"cannot write to {place}: {error.strerror}") from None


def copy_whole_lines(source: Path, target: Path) -> None:
    """Copies a store's file, its last line mended as the store would."""
    if not source.exists():
        return
    try:
        shutil.copyfile(source, target)
        Store(target.parent).mend()
    except OSError as error:
        raise UsageError(f"cannot copy {source}: {error.strerror}") from None

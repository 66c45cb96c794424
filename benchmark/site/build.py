"""Builds a static site from the records of studies."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from benchmark.cli.plot import draw
from benchmark.errors import UsageError
from benchmark.experiment.record import Store
from benchmark.experiment.study import load_study, study_path
from benchmark.files import write_whole
from benchmark.site import manifest
from benchmark.site.digest import PRINTED, read

if TYPE_CHECKING:
    from benchmark.site.parts import Source

console = Console()


def publish_site(
    studies: Annotated[list[str], typer.Argument(help="Studies by name, or .toml files; each gets a page.")],
    out: Annotated[Path, typer.Option(help="The site's folder; files there that publish did not make stay.")] = Path(
        "site"
    ),
    results: Annotated[Path, typer.Option(help="The folder that holds a folder of results per study.")] = Path(
        "results"
    ),
) -> None:
    """Make a static site from the studies' records, and draw their figures under --results as `plot` does.

    Example: deadweight publish digits digits_full --out site
    """
    texts = {}
    for name in studies:
        study, path = load_study(name), study_path(name)
        if study.name in texts:
            raise UsageError(f"study {study.name!r} is named twice")
        texts[study.name] = path.read_text(encoding="utf-8")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose another --out")
    if out.resolve() == results.resolve():
        raise UsageError(f"{out} holds the records themselves; choose another --out")
    manifest.read(out)
    with temporary(out) as folder, console.status("publishing"):
        try:
            sources = build({name: results / name for name in texts}, texts, Path(folder))
        except UsageError as error:  # it names the copy that the site is made from
            raise UsageError(str(error).replace(f"{folder}/", f"{results}/")) from None
        made = manifest.replace(Path(folder), list(texts), out)
    drawn = 0
    with console.status("drawing"):
        for source in sources:
            if len(source.frame) <= PRINTED:
                drawn += len(draw(source.digest.study, source.digest.records, results / source.digest.study.name)[2])
    console.print(
        f"wrote {drawn} files under {results} and {made} under {out}; `deadweight verify {out}` checks them",
        soft_wrap=True,
    )
    console.print(f"open {out / 'index.html'}", soft_wrap=True)


def build(studies: dict[str, Path], texts: dict[str, str], folder: Path) -> list[Source]:
    """Writes the whole site of studies, given the folders of their records and their files, into an empty folder.

    Raises UsageError.
    """
    from benchmark.site.page import write_index, write_page
    from benchmark.site.parts import Source  # matplotlib and plotly only where they are used
    from benchmark.site.trajectories import read_files

    sources = []
    for name, text in texts.items():
        write_whole(folder / name / f"{name}.toml", text.encode())
        copy_whole_lines(studies[name] / "records.jsonl", folder / name / "records.jsonl")
        study = load_study(str(folder / name / f"{name}.toml"))
        source = Source(read(study, Store(folder / name)), text, read_files(studies[name]))
        for path, content in write_page(source).items():
            write_whole(folder / name / path, content)
        sources.append(source)
    write_whole(folder / "index.html", write_index(sources))
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

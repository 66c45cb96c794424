"""Checks a published site against the records it holds."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.site import manifest
from benchmark.site.build import LIBRARY, Say, build, silent, temporary

SAME = 1e-9  # relative difference up to which two computations of a number agree
PICTURES = (".png", ".pdf", ".svg")
DRAWING = {"matplotlib", "seaborn"}


def check_files(site: Path, made: manifest.Manifest) -> Iterator[str]:
    """What is not as the manifest says, in words."""
    for name, digest in made.files.items():
        if not (site / name).is_file():
            yield f"{name} is missing"
        elif manifest.sha256(site / name) != digest:
            yield f"{name} was changed after it was published"


def recompute(site: Path, made: manifest.Manifest, say: Say = silent) -> Iterator[str]:
    """How the site differs from one made anew from its records and study files, in words; `say` is told of progress."""
    texts = {name: site / name / f"{name}.toml" for name in made.studies}
    lacking = [path for path in texts.values() if not path.is_file()]
    if lacking:
        yield f"{lacking[0].relative_to(site)} is missing, so nothing can be recomputed"
        return
    studies = {name: site / name for name in made.studies}
    with temporary(Path.cwd()) as folder:
        again = Path(folder)
        try:
            build(studies, {name: path.read_text(encoding="utf-8") for name, path in texts.items()}, again, say)
        except UnicodeDecodeError as error:
            yield f"nothing can be recomputed: a study file cannot be read: {error}"
            return
        except UsageError as error:
            yield f"nothing can be recomputed: {str(error).replace(f'{again}/', '')}"
            return
        say("comparing")
        given = manifest.describe(again, made.studies).files
        yield from (f"{name} is not in {manifest.NAME}" for name in sorted(given.keys() - made.files.keys()))
        for name in sorted({*made.files, *given}):
            try:
                yield from compare(name, site / name, again / name, made)
            except (UnicodeDecodeError, csv.Error) as error:
                yield f"{name} cannot be read: {error}"


def compare(name: str, published: Path, again: Path, made: manifest.Manifest) -> Iterator[str]:
    """How two versions of a file differ, in words; pictures may where other libraries drew them."""
    if not again.is_file():
        yield f"{name} is nothing that the records give"
    elif not published.is_file() or published.read_bytes() == again.read_bytes():
        return
    elif name.endswith(".csv"):
        yield from compare_tables(name, published, again)
    elif name.endswith(".html"):
        yield f"{name} differs from the page that the records give"
    elif name == LIBRARY:
        if "plotly" not in other_versions(made):
            yield f"{name} is not the plotting library that its version is"
    elif drawn_alike(made) or not name.endswith(PICTURES):
        yield f"{name} differs from what the records give"


def compare_tables(name: str, published: Path, again: Path) -> Iterator[str]:
    """The cells in which two CSV files differ, in words."""
    with published.open(newline="", encoding="utf-8") as one, again.open(newline="", encoding="utf-8") as two:
        left, right = csv.reader(one), csv.reader(two)
        columns, others = next(left, []), next(right, [])
        if columns != others:
            yield f"{name}: its columns are {', '.join(columns)}, recomputed {', '.join(others)}"
            return
        for number, (mine, theirs) in enumerate(zip_longest(left, right), start=2):
            if mine is None or theirs is None:
                yield f"{name}, row {number}: {'missing' if mine is None else 'not in the records'}"
                return
            if len(mine) != len(columns):
                yield f"{name}, row {number}: {len(mine)} cells in {len(columns)} columns"
                continue
            for column, cell, other in zip(columns, mine, theirs, strict=True):
                if not _agree(cell, other):
                    values = f"published {cell or 'nothing'}, recomputed {other or 'nothing'}"
                    yield f"{name}, row {number}, {column}: {values}"


def other_versions(made: manifest.Manifest) -> dict[str, tuple[str, str]]:
    """Libraries that are here in another version than the site was made with: by name the one here, the one there."""
    versions = {name: (mine, made.libraries.get(name, "none")) for name, mine in manifest.libraries().items()}
    return {name: (mine, theirs) for name, (mine, theirs) in versions.items() if mine != theirs}


def drawn_alike(made: manifest.Manifest) -> bool:
    """Whether the libraries that drew the site's pictures are the ones here."""
    return not other_versions(made).keys() & DRAWING


def _agree(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=SAME, abs_tol=1e-12)
    except ValueError:
        return False

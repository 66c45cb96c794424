"""How channels of single runs died, on a page: what `deadweight trajectories` wrote beside the records."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd

from benchmark.errors import UsageError
from benchmark.experiment.record import Record
from benchmark.figures import trajectories as trajectory_figures
from benchmark.site.parts import Image, Section, Source

NAME = re.compile(r"trajectories-([0-9a-f]{8})\.csv")


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of `deadweight trajectories` in a study's folder, by the first eight digits of the record's key."""
    found = {path: NAME.fullmatch(path.name) for path in sorted((folder / "figures").glob("trajectories-*.csv"))}
    return {match[1]: path.read_bytes() for path, match in found.items() if match}


def trajectories(source: Source) -> Section | None:
    """A figure for every run of the study that was followed; those of other studies' records are left out."""
    by_key = {record.short_key: record for record in source.digest.records}
    followed = [(by_key[key], content) for key, content in source.trajectories.items() if key in by_key]
    if not followed:
        return None
    images, files, texts = [], {}, []
    for record, content in followed:
        drawing = trajectory_figures.draw(_curves(record, content), record)
        stem = f"figures/{drawing.name}"
        files |= {f"{stem}.svg": drawing.picture("svg"), f"{stem}.csv": content}
        texts.append(drawing.caption)
        images.append(Image(f"{stem}.svg", drawing.caption))
    note = (
        "What the command deadweight trajectories saw in a run made again, for records do not hold it: the norms of "
        "channels that stop being activated, and from there on the same weights under the L2 penalty's gradient alone."
    )
    return Section("trajectories", "How channels die", tuple(texts), lead=note, images=tuple(images), files=files)


def _curves(record: Record, content: bytes) -> pd.DataFrame:
    try:
        curves = pd.read_csv(io.BytesIO(content))
        return curves[list(trajectory_figures.COLUMNS)].astype(float)
    except (ValueError, KeyError):
        raise UsageError(
            f"trajectories-{record.short_key}.csv is not what `deadweight trajectories` writes; run that again"
        ) from None

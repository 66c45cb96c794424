"""A figure with what is drawn in it, as the files that a folder, a page and a paper take."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.style import SCREEN, Page, plain
from benchmark.files import write_whole

FORMATS = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}  # with what keeps them free of dates


@dataclass(frozen=True)
class Drawing:
    """A figure by its name, every point drawn in it, what it shows in words, and the page that it was drawn for."""

    name: str
    figure: Figure
    points: pd.DataFrame
    caption: str = ""
    page: Page = SCREEN

    def picture(self, suffix: str) -> bytes:
        """The figure as a file of one of FORMATS, the same bytes each time.

        For a screen it is cropped to what is drawn; for print it has the figure's own size, and more dots.
        """
        buffer = io.BytesIO()
        dots, box = (300, None) if self.page.print else (200, "tight")
        with mpl.rc_context(self.page.settings):
            self.figure.savefig(buffer, format=suffix, dpi=dots, bbox_inches=box, metadata=FORMATS[suffix])
        return buffer.getvalue()

    def files(self) -> dict[str, bytes]:
        """By file name the figure as PNG, PDF and SVG, and its points as CSV."""
        made = {f"{self.name}.{suffix}": self.picture(suffix) for suffix in FORMATS}
        return made | {f"{self.name}.csv": self.points.to_csv(index=False, lineterminator="\n").encode()}

    def write(self, folder: Path) -> list[Path]:
        """Writes `files` into a folder; returns the paths. Raises UsageError."""
        made = {folder / name: content for name, content in self.files().items()}
        for path, content in made.items():
            write_whole(path, content)
        return list(made)


def add_texts(figure: Figure, title: str, text: str) -> None:
    """Puts a title over a figure for the screen, and below it what it shows, in lines."""
    figure.suptitle(plain("\n".join(textwrap.wrap(title, 72))), x=0.01, ha="left", fontsize=SCREEN.font)
    figure.text(0.01, -0.01, plain(text), fontsize=SCREEN.small, va="top", color="0.3")

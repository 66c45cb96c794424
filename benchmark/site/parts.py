"""What a page is put together from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from benchmark.analysis.fairness import Finding, check
from benchmark.analysis.summary import summarise
from benchmark.site import chart_data
from benchmark.site.digest import Digest


@dataclass
class Source:
    """What sections are made of: a study's digest, its file's text, its runs that were followed, its kept networks."""

    digest: Digest
    study_file: str
    trajectories: dict[str, bytes] = field(default_factory=dict)  # by the first eight digits of the key
    networks: dict[str, bytes] = field(default_factory=dict)  # by key

    @property
    def frame(self) -> pd.DataFrame:
        return self.digest.frame

    @property
    def image(self) -> str:
        """The figure that stands for the study, by its path within the study's folder."""
        conditions = self.digest.study.conditions
        if conditions is None:
            return f"figures/pareto-{self.frame.task.iloc[0]}.svg"
        return f"figures/conditions-{'heatmap' if conditions.crossed else 'norms'}.svg"

    @cached_property
    def points(self) -> pd.DataFrame:
        return chart_data.knob_points(self.frame, grid=self.digest.study.sampler == "grid")

    @cached_property
    def summary(self) -> pd.DataFrame:
        return summarise(self.frame)

    @cached_property
    def findings(self) -> list[Finding]:
        """What the rules of a fair comparison come to."""
        return check(self.digest.study, self.digest.records, self.digest.tuning, self.digest.tried)

    @property
    def unmet(self) -> str:
        """The rules of a fair comparison that are not met, in a sentence."""
        names = [finding.rule for finding in self.findings if finding.met == "no"]
        if not names:
            return "Every rule of a fair comparison that applies is met."
        return f"Rules of a fair comparison that this study does not meet: {'; '.join(names)}."

    @cached_property
    def thin(self) -> pd.DataFrame:
        return chart_data.thin(self.points)


@dataclass(frozen=True)
class Table:
    """A data frame of texts with its caption; `csv` is the name of the file in data/ that holds its numbers."""

    frame: pd.DataFrame
    caption: str
    csv: str = ""
    wide: tuple[str, ...] = ()
    head: str = ""


@dataclass(frozen=True)
class Image:
    """A static figure: its path within the study's folder and what it shows, in words."""

    path: str
    alt: str


@dataclass(frozen=True)
class Section:
    """A part of a page: after its `lead` what it shows, and then the `texts` that are needed to read that.

    `files` are what it adds to the study's folder, by path; they are linked below it.
    """

    name: str
    title: str
    texts: tuple[str, ...] = ()
    lead: str = ""
    charts: tuple[Chart, ...] = ()
    images: tuple[Image, ...] = ()
    tables: tuple[Table, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    template: str = "section.html"
    content: dict[str, Any] = field(default_factory=dict)


def csv(frame: pd.DataFrame) -> bytes:
    """A data frame as a CSV file, each number with all its digits."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


@dataclass(frozen=True)
class Chart:
    """A figure of a page. `plots` has one plot for each choice of what it goes `by`, such as "task/method label"."""

    name: str
    alt: str
    plots: dict[str, dict[str, Any]] = field(repr=False)
    by: tuple[str, ...] = ()

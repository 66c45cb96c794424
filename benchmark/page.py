"""What a study's page consists of: sections, each a function from the study's digest. To add one, add it to SECTIONS."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from benchmark import figures, interactive, provenance, series, tables
from benchmark.digest import Digest
from benchmark.interactive import Chart
from benchmark.registry import card, get_method
from benchmark.tables import CONTROL, SPARSITY

ROWS = 200  # rows of a table that a page shows at most; its CSV has them all
TEMPLATES = Path(__file__).parent / "templates"


@dataclass
class Source:
    """What sections are made of: a study's digest, its file's name and text, and its knob points."""

    digest: Digest
    study_file: str

    @property
    def frame(self) -> pd.DataFrame:
        return self.digest.frame

    @cached_property
    def points(self) -> pd.DataFrame:
        return series.knob_points(self.frame, grid=self.digest.study.sampler == "grid")

    @cached_property
    def summary(self) -> pd.DataFrame:
        return tables.summarise(self.frame)

    @cached_property
    def thin(self) -> pd.DataFrame:
        return series.thin(self.points)


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
    """A part of a page. `files` are what it adds to the study's folder, by path; they are linked below it."""

    name: str
    title: str
    texts: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    images: tuple[Image, ...] = ()
    tables: tuple[Table, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    template: str = "section.html"
    content: dict[str, Any] = field(default_factory=dict)


def csv(frame: pd.DataFrame) -> bytes:
    """A data frame as a CSV file, each number with all its digits."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def pareto(source: Source) -> Section:
    """The interactive Pareto figure and, for print, the static one."""
    frame, summary, surfaces = source.frame, source.summary, interactive.all_corners(source.frame)
    content = interactive.pareto(frame, surfaces)
    files = {"data/fronts.csv": csv(surfaces), "data/trials.csv": csv(frame)}
    images = []
    with mpl.rc_context(figures.STYLE):
        for task, group in frame.groupby("task", sort=False):
            figure, _ = figures.draw_pareto(group, SPARSITY, f"{source.digest.study.title}: {task}")
            images.append(Image(f"figures/pareto-{task}.svg", alt(task, summary[summary.task == task])))
            buffer = io.BytesIO()
            figure.savefig(buffer, format="svg", dpi=200, bbox_inches="tight", metadata={"Date": None})
            files[images[-1].path] = buffer.getvalue()
    note = (
        f"Points are single trials, n = {frame.seed.nunique()} seeds. A line is what at least half of the seeds attain, "
        "its band runs from what all attain to what one attains; the points of each seed's front are chosen on the "
        "validation set and drawn at their test accuracy, nothing is interpolated. Grey: the dense control, mean and "
        "95 % t interval over seeds. Sparsity is counted on the physically reduced network."
    )
    content |= {"methods": interactive.methods(frame), "alt": alt(source.digest.study.title, summary)}
    return Section(
        "pareto", "Sparsity against accuracy", (note,), images=tuple(images), files=files,
        template="pareto.html", content=content,
    )  # fmt: skip


def alt(name: str, summary: pd.DataFrame) -> str:
    """What a Pareto figure shows, in words."""
    best = [(row.hypervolume.mean, row.method) for row in summary.itertuples() if row.hypervolume.n]
    first = f" The largest area under a front is {max(best)[0]:.3f}, of {max(best)[1]}." if best else ""
    methods = ", ".join(dict.fromkeys(summary.method))
    return f"{name}: parameters removed against test accuracy of {methods}; {summary.trials.sum()} trials.{first}"


def results(source: Source) -> Section:
    """The table with intervals."""
    summary = source.summary
    shown = tables.texts(summary)
    shown.insert(2, "n", [interval.n for interval in summary["best accuracy"]])
    if shown.task.nunique() == 1:
        shown = shown.drop(columns="task")
    table = Table(shown, "Each method on each task", "table", head="method")
    return Section(
        "results", "What each method reaches", (f"{tables.NOTE} n: seeds.",), tables=(table,),
        files={"data/table.csv": csv(tables.flatten(summary))},
    )  # fmt: skip


def details(source: Source) -> Section:
    """Histories, layers and norms of one method at a time."""
    thin = source.thin
    frames = {"epochs": series.epochs(source.digest, thin), "layers": series.layers(thin)}
    frames["norms"] = series.norms(source.digest, thin)
    panels = {"val_accuracy": "validation accuracy (%)", "silent": "silent channels (%)"}
    axis = {"title": {"text": "epoch"}}
    charts = (
        Chart("epochs", "Validation accuracy and share of silent channels over the epochs, a line per knob point of "
              "the chosen method.", interactive.point_lines(frames["epochs"], "epoch", panels, axis), by_method=True),
        Chart("layers", "Channels left in every layer, a line per knob point of the chosen method.",
              interactive.layer_lines(frames["layers"]), by_method=True),
        Chart("norms", "Histogram of the channels' weight norms after training, an outline per knob point of the "
              "chosen method.", interactive.norm_bars(frames["norms"]), by_method=True),
    )  # fmt: skip
    headings = {"epochs": "Sparsity and accuracy over epochs", "layers": "Channels left, layer by layer"}
    headings["norms"] = "Norms of the channels' incoming weights after training"
    note = (
        f"One line per knob point, from weak (dark) to strong (light), at most {series.SHOWN} of them, evenly spaced; "
        "each is the mean over seeds, with the 95 % t interval and n in its tooltip and in the CSV. Silent here: "
        "‖w‖₂ < 1e-15 in the network being trained, which after a removal is the reduced one."
    )
    return Section(
        "details", "One method in detail", (note,), charts=charts, template="details.html",
        files={f"data/{name}.csv": csv(frame) for name, frame in frames.items()},
        content={"methods": sorted(interactive.methods(source.frame), key=_is_control), "headings": headings},
    )  # fmt: skip


def _is_control(method: dict[str, str]) -> bool:
    return method["label"] == CONTROL


def stability(source: Source) -> Section | None:
    """Accuracy and sparsity along the knob, where the knob alone changes."""
    if source.digest.study.sampler != "grid":
        return None
    tidy = series.stability(source.points)
    chart = Chart("stability", "Test accuracy and share of parameters removed at each knob point, a line per method.",
                  interactive.stability_lines(tidy))  # fmt: skip
    note = "Mean over seeds at every knob point, with its 95 % t interval; a steep line is a knob that is hard to set."
    return Section(
        "stability", "Stability over the knob", (note,), (chart,), files={"data/stability.csv": csv(tidy)}
    )  # fmt: skip


def cost(source: Source) -> Section:
    """What training took."""
    tidy = series.cost(source.frame)
    chart = Chart("cost", "Mean training seconds of a trial, a bar per method.", interactive.cost_bars(tidy))
    note = (
        "Seconds of a trial's training, its share of the base network's included, beside the sweep's other trials: "
        "mean over seeds with its 95 % t interval."
    )
    return Section("cost", "Training cost", (note,), (chart,), files={"data/cost.csv": csv(tidy)})


def failures(source: Source) -> Section:
    """The trials that did not end well, each with its cause."""
    found = series.failures(source.frame)
    if not len(found):
        return Section("failures", "Failures", (f"None: all {len(source.frame)} trials ended well.",))
    shown = found.head(ROWS).assign(**{"first record": found["first record"].str[:12]})
    note = f"{int(found.trials.sum())} of {len(source.frame)} trials did not end well. Collapsed ones count as results."
    more = (f"The first {ROWS} of {len(found)} causes are shown; the CSV has all.",) if len(found) > ROWS else ()
    table = Table(shown, "Failures and collapses, each with its cause", "failures", wide=("cause",), head="method")
    return Section("failures", "Failures", (note, *more), tables=(table,), files={"data/failures.csv": csv(found)})


def methods(source: Source) -> Section:
    """The method cards."""
    cards = []
    for label, title in source.frame.drop_duplicates("label")[["label", "title"]].itertuples(index=False):
        name = source.digest.study.method_name(label)
        method = get_method(name)
        cards.append({"title": title, "name": name, "version": method.version, "reference": method.reference,
                      "knob": method.knob or "none", "text": card(method)})  # fmt: skip
    return Section("methods", "The methods", template="methods.html", content={"cards": cards})


def origin(source: Source) -> Section:
    """Where the records come from, and the files to check them with."""
    study = source.digest.study
    frame = provenance.versions(source.digest.records)
    table = Table(frame, "Versions and hardware that the records name, with how many records name them")
    content = {
        "facts": provenance.facts(source.digest),
        "commands": f"deadweight run {study.name}\ndeadweight publish {study.name} --out site\ndeadweight verify site",
        "study_file": source.study_file,
    }
    files = {f"{study.name}.toml": source.study_file.encode()}
    return Section(
        "provenance", "Provenance", tables=(table,), files=files, template="provenance.html", content=content
    )  # fmt: skip


SECTIONS: tuple[Callable[[Source], Section | None], ...] = (
    pareto, results, details, stability, cost, failures, methods, origin,
)  # fmt: skip


def write_page(source: Source) -> dict[str, bytes]:
    """The files of a study's folder, by path within it, but for its records."""
    sections = [section for make in SECTIONS if (section := make(source)) is not None]
    (front,) = (section for section in sections if section.name == "pareto")
    charts = {
        chart.name: {"by_method": chart.by_method, "plots": chart.plots} for s in sections for chart in s.charts
    }
    shown = {key: front.content[key] for key in ("axes", "tasks", "below")}
    html = environment().get_template("study.html").render(
        title=source.digest.study.title,
        summary=provenance.summary(source.digest),
        sections=sections,
        tasks=list(front.content["tasks"]),
        data=embedded({"methods": front.content["methods"], "pareto": shown, "charts": charts}),
        plotly=Markup(get_plotlyjs()),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
    )  # fmt: skip
    files = {"index.html": html.encode()}
    for section in sections:
        files |= section.files
    return files


def write_index(sources: list[Source]) -> bytes:
    """The site's first page."""
    studies = [
        {
            "name": s.digest.study.name,
            "title": s.digest.study.title,
            "summary": provenance.summary(s.digest)[0],
            "image": f"figures/pareto-{s.frame.task.iloc[0]}.svg",
        }
        for s in sources
    ]
    return environment().get_template("index.html").render(title="Studies", studies=studies).encode()


def embedded(value: Any) -> Markup:
    """A value as JSON that cannot end the script element it stands in."""
    return Markup(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


@cache
def environment() -> jinja2.Environment:
    """The templates; what is no template of ours is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals["css"] = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return made

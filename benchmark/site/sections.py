"""The sections of a study's page, each a function from its source. To add one, add it to SECTIONS."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from benchmark.analysis import fairness as checklist
from benchmark.analysis import tables
from benchmark.analysis.frame import CONTROL, SPARSITY
from benchmark.analysis.summary import NOTE
from benchmark.experiment.coverage import unfinished
from benchmark.experiment.study import study_names
from benchmark.figures import pareto as figures
from benchmark.figures.style import STYLE, to_bytes
from benchmark.method.registry import card, get_method
from benchmark.paper.bundle import write_paper
from benchmark.site import chart_data, charts, pareto_chart
from benchmark.site import origin as provenance
from benchmark.site.comparisons import comparisons
from benchmark.site.conditions import conditions
from benchmark.site.digest import PRINTED
from benchmark.site.looks import method_looks
from benchmark.site.parts import Chart, Image, Section, Source, Table, csv
from benchmark.site.trajectories import trajectories

ROWS = 200  # rows of a table that a page shows at most; its CSV has them all


def pareto(source: Source) -> Section:
    """The interactive Pareto figure and, for print, the static one."""
    frame, summary, surfaces = source.frame, source.summary, pareto_chart.all_corners(source.frame)
    content = pareto_chart.pareto(frame, surfaces)
    lacking = unfinished(source.digest.study, source.digest.records)
    files = {"data/fronts.csv": csv(surfaces), "data/trials.csv": csv(frame)}
    images = []
    with mpl.rc_context(STYLE):
        for task, group in frame.groupby("task", sort=False):
            figure, _ = figures.draw_pareto(group, SPARSITY, f"{source.digest.study.title}: {task}", lacking=lacking)
            images.append(Image(f"figures/pareto-{task}.svg", alt(task, summary[summary.task == task])))
            files[images[-1].path] = to_bytes(figure, "svg")
    note = (
        f"Points are single trials, n = {frame.seed.nunique()} seeds. A line is what at least half of the seeds "
        "attain, its band runs from what all attain to what one attains; the points of each seed's front are chosen on "
        "the validation set and drawn at their test accuracy, nothing is interpolated. Grey: the dense control, mean "
        "and 95 % t interval over seeds. Sparsity is counted on the physically reduced network."
        f"{lacking}"
    )
    content |= {"methods": method_looks(frame), "alt": alt(source.digest.study.title, summary)}
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
    note = NOTE + unfinished(source.digest.study, source.digest.records)
    if shown.task.nunique() == 1:
        shown = shown.drop(columns="task")
    table = Table(shown, "Each method on each task", "table", head="method")
    return Section(
        "results", "What each method reaches", (note,), tables=(table,),
        files={"data/table.csv": csv(tables.flatten(summary))},
    )  # fmt: skip


def details(source: Source) -> Section:
    """Histories, layers and norms of one method at a time."""
    thin = source.thin
    frames = {"epochs": chart_data.epochs(source.digest, thin), "layers": chart_data.layers(thin)}
    frames["norms"] = chart_data.norms(source.digest, thin)
    panels = {"val_accuracy": "validation accuracy (%)", "silent": "silent channels (%)"}
    axis = {"title": {"text": "epoch"}}
    drawn = (
        Chart("epochs", "Validation accuracy and share of silent channels over the epochs, a line per knob point of "
              "the chosen method.", charts.point_lines(frames["epochs"], "epoch", panels, axis), by_method=True),
        Chart("layers", "Channels left in every layer, a line per knob point of the chosen method.",
              charts.layer_lines(frames["layers"]), by_method=True),
        Chart("norms", "Histogram of the channels' weight norms after training, an outline per knob point of the "
              "chosen method.", charts.norm_bars(frames["norms"]), by_method=True),
    )  # fmt: skip
    headings = {"epochs": "Sparsity and accuracy over epochs", "layers": "Channels left, layer by layer"}
    headings["norms"] = "Norms of the channels' incoming weights after training"
    note = (
        f"One line per knob point, from weak (dark) to strong (light), at most {chart_data.SHOWN} of them, evenly "
        "spaced; each is the mean over seeds, with the 95 % t interval and n in its tooltip and in the CSV. Silent "
        "here: ‖w‖₂ < 1e-15 in the network being trained, which after a removal is the reduced one."
    )
    return Section(
        "details", "One method in detail", (note,), charts=drawn, template="details.html",
        files={f"data/{name}.csv": csv(frame) for name, frame in frames.items()},
        content={"methods": sorted(method_looks(source.frame), key=_is_control), "headings": headings},
    )  # fmt: skip


def fairness(source: Source) -> Section:
    """Which rules of a fair comparison the study meets."""
    found = pd.DataFrame([vars(f) for f in checklist.check(source.digest.study, source.digest.records)])
    unmet = found[found.met == "no"].rule
    text = f"Not met: {'; '.join(unmet)}." if len(unmet) else "Every rule that applies is met."
    table = Table(found, "Rules, judged from the records", "fairness", wide=("evidence",), head="rule")
    return Section("fairness", "Fairness checklist", (text,), tables=(table,), files={"data/fairness.csv": csv(found)})


def paper(source: Source) -> Section:
    """What a paper takes from the study, as files."""
    title = "For the paper"
    if len(source.frame) > PRINTED:
        note = f"Left out: a study of more than {PRINTED:,} trials has too many marks for print."
        return Section("paper", title, (note,))
    with tempfile.TemporaryDirectory() as place:
        made = write_paper(source.digest.study, source.digest.records, source.frame, Path(place))
        files = {f"paper/{path.relative_to(place).as_posix()}": path.read_bytes() for path in sorted(made)}
    note = (
        "Figures at a journal's column width, tables in LaTeX and Markdown, the environments that include them, the "
        "references of the methods, and figures.json, which names the records behind every mark."
    )
    return Section("paper", title, (note,), files=files)


def _is_control(method: dict[str, str]) -> bool:
    return method["label"] == CONTROL


def stability(source: Source) -> Section | None:
    """Accuracy and sparsity along the knob, where the knob alone changes."""
    if source.digest.study.sampler != "grid":
        return None
    tidy = chart_data.stability(source.points)
    chart = Chart("stability", "Test accuracy and share of parameters removed at each knob point, a line per method.",
                  charts.stability_lines(tidy))  # fmt: skip
    note = "Mean over seeds at every knob point, with its 95 % t interval; a steep line is a knob that is hard to set."
    return Section(
        "stability", "Stability over the knob", (note,), (chart,), files={"data/stability.csv": csv(tidy)}
    )  # fmt: skip


def cost(source: Source) -> Section:
    """What training took."""
    tidy = chart_data.cost(source.frame)
    chart = Chart("cost", "Median training seconds of a trial, a bar per method.", charts.cost_bars(tidy))
    note = (
        "Seconds of a trial's training, the base network's included, beside whatever else the machine ran: the median "
        "over a method's trials, and from where to where the middle half of them lies."
    )
    return Section("cost", "Training cost", (note,), (chart,), files={"data/cost.csv": csv(tidy)})


def failures(source: Source) -> Section:
    """The trials that did not end well, each with its cause."""
    found = chart_data.failures(source.frame)
    trials = f"{len(source.frame)} trials" + (" that have a record" if source.digest.missing else "")
    if not len(found):
        return Section("failures", "Failures", (f"None: all {trials} ended well.",))
    shown = found.head(ROWS).assign(**{"first record": found["first record"].str[:12]})
    note = f"{int(found.trials.sum())} of {trials} did not end well. Collapsed ones count as results."
    more = (f"The first {ROWS} of {len(found)} causes are shown; the CSV has all.",) if len(found) > ROWS else ()
    table = Table(shown, "Failures and collapses, each with its cause", "failures", wide=("cause",), head="method")
    return Section("failures", "Failures", (note, *more), tables=(table,), files={"data/failures.csv": csv(found)})


def methods(source: Source) -> Section:
    """The method cards, one for all labels of a method."""
    study, titles = source.digest.study, {}
    for label, title in source.frame.drop_duplicates("label")[["label", "title"]].itertuples(index=False):
        titles.setdefault(study.method_name(label), []).append(title)
    cards = []
    for name, shown in titles.items():
        method = get_method(name)
        title = method.title if study.conditions else ", ".join(shown)
        cards.append({"title": title, "name": name, "version": method.version, "reference": method.reference,
                      "knob": method.knob or "none", "text": card(method)})  # fmt: skip
    return Section("methods", "The methods", template="methods.html", content={"cards": cards})


def origin(source: Source) -> Section:
    """Where the records come from, and the files to check them with."""
    study = source.digest.study
    frame = provenance.versions(source.digest.records)
    table = Table(frame, "Versions and hardware that the records name, with how many records name them")
    name = study.name if study.name in study_names() else f"{study.name}.toml"
    content = {
        "facts": provenance.facts(source.digest),
        "commands": f"deadweight run {name}\ndeadweight publish {name} --out site\ndeadweight verify site",
        "study_file": source.study_file,
    }
    files = {f"{study.name}.toml": source.study_file.encode()}
    return Section(
        "provenance", "Provenance", tables=(table,), files=files, template="provenance.html", content=content
    )  # fmt: skip


SECTIONS: tuple[Callable[[Source], Section | None], ...] = (
    pareto,
    results,
    fairness,
    comparisons,
    details,
    stability,
    trajectories,
    cost,
    failures,
    methods,
    paper,
    origin,
)
CONDITIONS_SECTIONS: tuple[Callable[[Source], Section | None], ...] = (
    conditions,
    trajectories,
    fairness,
    failures,
    methods,
    paper,
    origin,
)

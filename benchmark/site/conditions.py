"""What the page of a conditions study shows in place of a Pareto figure."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.analysis import conditions as conditions_table
from benchmark.analysis import tables
from benchmark.experiment.conditions import CONTROL
from benchmark.experiment.coverage import unfinished
from benchmark.figures import conditions as conditions_figures
from benchmark.figures.drawing import Drawing
from benchmark.site import conditions_charts as charts
from benchmark.site.parts import Chart, Image, Section, Source, Table, csv

SHOWN = {
    "heatmap": "Heat map of the share of channels never active by {crossed}, with that below 1e-15 and the accuracy.",
    "norms": "Share of the channels by their weights' norm after training, a row per level.",
    "epochs": "Share of channels with weights below 1e-15 over the epochs, a line per level.",
    "thresholds": "Share of channels below a threshold against the threshold, a line per level.",
}
HEADINGS = {
    "norms": "Norms of the channels' incoming weights after training",
    "epochs": "Channels with ‖w‖ < 1e-15 over the epochs",
    "thresholds": "Channels below a threshold",
}


def conditions(source: Source) -> Section:
    """One setting changed in one factor at a time: figures, and a table per factor."""
    study, records = source.digest.study, source.digest.records
    drawn = conditions_figures.draw(study, records)
    made = {name: part for drawing in drawn for name, part in drawing.files().items()}
    files = {f"figures/{name}": made[name] for name in sorted(made)}
    crossed = " and ".join(study.conditions.crossed)
    images = [
        Image(f"figures/conditions-{name}.svg", text.format(crossed=crossed))
        for name, text in SHOWN.items()
        if f"figures/conditions-{name}.svg" in files
    ]
    shown = conditions_table.by_factor(study, records)
    factors = [factor for factor in shown if factor != CONTROL]
    parts = [Table(_results_first(tables.texts(rows)), factor, head="level") for factor, rows in shown.items()]
    files["data/conditions.csv"] = csv(tables.flatten(conditions_table.summarise(study, records)))
    texts = (conditions_table.NOTE + unfinished(study, records),)
    return Section(
        "conditions",
        "Conditions of sparsity",
        texts,
        lead=f"One thing changed at a time, around the setting {study.legend(study.conditions.of)!r}.",
        charts=_charts(drawn, study.conditions.crossed),
        images=tuple(images),
        tables=tuple(parts),
        files=files,
        template="conditions.html",
        content={"factors": factors, "headings": HEADINGS, "crossed": crossed},
    )


def _results_first(cells):
    counts = ["n", "failed"]
    return cells[[*(name for name in cells if name not in counts), *counts]]


def _charts(drawn: Sequence[Drawing], crossed: tuple[str, ...]) -> tuple[Chart, ...]:
    """What the static figures show, from the same points."""
    points = {drawing.name.removeprefix("conditions-"): drawing.points for drawing in drawn}
    percent = "channels (%)"
    threshold = {"title": {"text": "threshold ξ"}, "type": "log", "exponentformat": "power", "dtick": 4}
    plots = {
        "norms": charts.histograms(points["norms"]),
        "epochs": charts.lines(points["epochs"], {"title": {"text": "epoch"}}, percent),
        "thresholds": charts.lines(points["thresholds"], threshold, percent),
    }
    made = [Chart(name, SHOWN[name], plot, by=("factor",)) for name, plot in plots.items()]
    if "heatmap" in points:
        alt = SHOWN["heatmap"].format(crossed=" and ".join(crossed))
        made.insert(0, Chart("heatmap", alt, {"": charts.heatmap(points["heatmap"], crossed)}))
    return tuple(made)

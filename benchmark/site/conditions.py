"""What the page of a conditions study shows in place of a Pareto figure."""

from __future__ import annotations

from benchmark.analysis import conditions as conditions_table
from benchmark.analysis import tables
from benchmark.experiment.coverage import unfinished
from benchmark.figures import conditions as conditions_figures
from benchmark.site.parts import Image, Section, Source, Table, csv

SHOWN = {
    "heatmap": "Heat map of the share of channels never active by {crossed}, with that below 1e-15 and the accuracy.",
    "norms": "Histograms of the channels' weight norms after training, a panel per factor, a row per level.",
    "epochs": "Share of channels with weights below 1e-15 over the epochs, a panel per factor, a line per level.",
    "thresholds": "Share of channels below a threshold against the threshold, a panel per factor, a line per level.",
}


def conditions(source: Source) -> Section:
    """One setting changed in one factor at a time: figures, and a table per factor."""
    study, records = source.digest.study, source.digest.records
    made = {name: part for drawing in conditions_figures.draw(study, records) for name, part in drawing.files().items()}
    files = {f"figures/{name}": made[name] for name in sorted(made)}
    crossed = " and ".join(study.conditions.crossed)
    images = [
        Image(f"figures/conditions-{name}.svg", text.format(crossed=crossed))
        for name, text in SHOWN.items()
        if f"figures/conditions-{name}.svg" in files
    ]
    shown = conditions_table.by_factor(study, records)
    parts = [Table(tables.texts(rows), factor, head="level") for factor, rows in shown.items()]
    files["data/conditions.csv"] = csv(tables.flatten(conditions_table.summarise(study, records)))
    note = conditions_table.NOTE + unfinished(study, records)
    texts = (f"Around the setting {study.legend(study.conditions.of)!r}. {note}",)
    title = "Conditions of sparsity"
    return Section("conditions", title, texts, images=tuple(images), tables=tuple(parts), files=files)

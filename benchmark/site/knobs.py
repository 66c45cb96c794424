"""The sections of a page that follow the knob: one method in detail, and stability."""

from __future__ import annotations

from benchmark.analysis.frame import CONTROL
from benchmark.site import chart_data, charts
from benchmark.site.looks import all_looks, method_looks
from benchmark.site.parts import Chart, Section, Source, csv

# The charts of one method in detail: heading, and what is shown in words.
DETAILS = {
    "epochs": (
        "Sparsity and accuracy over epochs",
        "Validation accuracy and share of silent channels over the epochs, a line per knob point of the chosen method.",
    ),
    "layers": (
        "Channels left, layer by layer",
        "Channels left in every layer, a line per knob point of the chosen method.",
    ),
    "norms": (
        "Norms of the channels' incoming weights after training",
        "Histogram of the channels' weight norms after training, an outline per knob point of the chosen method.",
    ),
}


def details(source: Source) -> Section:
    """Histories, layers and norms of one method at a time."""
    thin = source.thin
    frames = {
        "epochs": chart_data.epochs(source.digest, thin),
        "layers": chart_data.layers(thin),
        "norms": chart_data.norms(source.digest, thin),
    }
    panels = {"val_accuracy": "validation accuracy (%)", "silent": "silent channels (%)"}
    plots = {
        "epochs": charts.point_lines(frames["epochs"], "epoch", panels, {"title": {"text": "epoch"}}),
        "layers": charts.layer_lines(frames["layers"]),
        "norms": charts.norm_bars(frames["norms"]),
    }
    drawn = tuple(Chart(name, alt, plots[name], by=("task", "method")) for name, (_, alt) in DETAILS.items())
    note = (
        f"One line per knob point, from weak (blue) to strong (orange), at most {chart_data.SHOWN} of them, evenly "
        "spaced; each is the mean over seeds, with its interval, as in the table, and n in its tooltip and in the CSV. "
        "Silent here: ‖w‖₂ < 1e-15 in the network being trained, which after a removal is the reduced one."
    )
    headings = {name: heading for name, (heading, _) in DETAILS.items()}
    return Section(
        "details",
        "One method in detail",
        (note,),
        charts=drawn,
        files={f"data/{name}.csv": csv(frame) for name, frame in frames.items()},
        template="details.html",
        content={"methods": sorted(method_looks(source.frame), key=_is_control), "headings": headings},
    )


def _is_control(method: dict[str, str]) -> bool:
    return method["label"] == CONTROL


def stability(source: Source) -> Section | None:
    """Accuracy and sparsity along the knob, where the knob alone changes."""
    if source.digest.study.sampler != "grid":
        return None
    tidy = chart_data.stability(source.points)
    alt = "Test accuracy and share of parameters removed at each knob point, a line per method."
    chart = Chart("stability", alt, charts.stability_lines(tidy, all_looks(source.frame)), by=("task",))
    note = (
        "Mean over seeds at every knob point, with its interval, as in the table; a steep line is a knob that is hard "
        "to set."
    )
    files = {"data/stability.csv": csv(tidy)}
    return Section("stability", "Stability over the knob", (note,), charts=(chart,), files=files)

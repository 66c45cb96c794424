"""The sections of a study's page, each a function from its source. To add one, add it to SECTIONS."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pandas as pd

from benchmark.analysis.tuning_table import NOTE as TUNING_NOTE
from benchmark.analysis.tuning_table import tuning_table
from benchmark.experiment.names import study_names
from benchmark.method.registry import card, get_method
from benchmark.paper.bundle import paper_files
from benchmark.site import chart_data
from benchmark.site import origin as provenance
from benchmark.site.comparisons import comparisons
from benchmark.site.conditions import conditions
from benchmark.site.digest import PRINTED
from benchmark.site.front import pareto, results
from benchmark.site.knobs import details, stability
from benchmark.site.networks import networks
from benchmark.site.parts import Section, Source, Table, csv
from benchmark.site.trajectories import trajectories

EVIDENCE = 600  # letters of what a rule is judged by that a page shows
ROWS = 200  # rows of a table that a page shows at most; its CSV has them all


def fairness(source: Source) -> Section:
    """Which rules of a fair comparison the study meets."""
    found = pd.DataFrame([vars(finding) for finding in source.findings])
    short = [textwrap.shorten(text, EVIDENCE, placeholder=" … (in full in fairness.csv)") for text in found.evidence]
    unmet_first = found.assign(evidence=short).sort_values("met", key=lambda met: met != "no", kind="stable")
    table = Table(unmet_first, "Rules, judged from the records", "fairness", wide=("evidence",), head="rule")
    return Section(
        "fairness", "Fairness checklist", lead=source.unmet, tables=(table,), files={"data/fairness.csv": csv(found)}
    )


def tuning(source: Source) -> Section | None:
    """What was tried for each method before anything was evaluated, and what was chosen."""
    digest = source.digest
    if digest.tuning is None:
        return None
    found = tuning_table(digest.study, digest.scores)
    cells = found.drop(columns="label").assign(
        score=found.score.map("{:.3f}".format),
        chosen=found.chosen.map({True: "chosen", False: ""}),
        **{"best validation accuracy": (100 * found["best validation accuracy"]).map("{:.2f} %".format)},
    )
    text = f"{TUNING_NOTE} Tuning seed: {digest.tuning.seed}."
    table = Table(cells, "Candidates, scores and choice", "tuning", wide=("settings",), head="method")
    return Section("tuning", "Tuning", (text,), tables=(table,), files={"data/tuning.csv": csv(found)})


def paper(source: Source) -> Section:
    """What a paper takes from the study, as files."""
    title = "For the paper"
    if len(source.frame) > PRINTED:
        note = f"Left out: a study of more than {PRINTED:,} trials has too many marks for print."
        return Section("paper", title, lead=note)
    made = paper_files(source.digest.study, source.digest.records, source.frame)
    note = (
        "Figures at a journal's column width, tables in LaTeX and Markdown, the environments that include them, the "
        "references of the methods, and figures.json, which names the records behind every mark."
    )
    return Section("paper", title, lead=note, files={f"paper/{name}": made[name] for name in sorted(made)})


def failures(source: Source) -> Section:
    """The trials that did not end well, each with its cause."""
    found = chart_data.failures(source.frame)
    trials = f"{len(source.frame)} trials" + (" that have a record" if source.digest.missing else "")
    if not len(found):
        return Section("failures", "Failures", lead=f"None: all {trials} ended well.")
    shown = found.head(ROWS).assign(**{"first record": found["first record"].str[:12]})
    note = f"{int(found.trials.sum())} of {trials} did not end well. Collapsed ones count as results."
    more = f" The first {ROWS} of {len(found)} causes are shown; the CSV has all." if len(found) > ROWS else ""
    table = Table(shown, "Failures and collapses, each with its cause", "failures", wide=("cause",), head="method")
    return Section("failures", "Failures", lead=note + more, tables=(table,), files={"data/failures.csv": csv(found)})


def methods(source: Source) -> Section:
    """The method cards, one for all labels of a method."""
    study, titles = source.digest.study, {}
    for label, title in source.frame.drop_duplicates("label")[["label", "title"]].itertuples(index=False):
        titles.setdefault(study.method_name(label), []).append(title)
    cards = []
    for name, shown in titles.items():
        method = get_method(name)
        cards.append(
            {
                "title": method.title if study.conditions else ", ".join(shown),
                "name": name,
                "version": method.version,
                "reference": method.reference,
                "knob": method.knob or "none",
                "text": card(method),
            }
        )
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
        "provenance",
        "Provenance",
        tables=(table,),
        files=files,
        template="provenance.html",
        content=content,
    )


SECTIONS: tuple[Callable[[Source], Section | None], ...] = (
    pareto,
    results,
    fairness,
    tuning,
    comparisons,
    details,
    stability,
    trajectories,
    failures,
    networks,
    methods,
    paper,
    origin,
)
CONDITIONS_SECTIONS: tuple[Callable[[Source], Section | None], ...] = (
    conditions,
    trajectories,
    fairness,
    failures,
    networks,
    methods,
    paper,
    origin,
)

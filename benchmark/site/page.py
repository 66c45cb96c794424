"""Writes the pages of studies: sections through templates, with styles, script and data inlined."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from benchmark.site import origin
from benchmark.site.build import LIBRARY, Say, silent
from benchmark.site.networks import FOLDER
from benchmark.site.parts import Source
from benchmark.site.sections import CONDITIONS_SECTIONS, SECTIONS

ROWS = 25  # of a table that is shown in full; a longer one scrolls
TEMPLATES = Path(__file__).parent / "templates"


def write_page(source: Source, say: Say = silent) -> dict[str, bytes]:
    """The files of a study's folder, by path within it, but for its records; `say` is told what is being made."""
    kinds = CONDITIONS_SECTIONS if source.digest.study.conditions else SECTIONS
    sections = []
    for place, make in enumerate(kinds, start=1):
        say(f"{make.__name__}, section {place} of {len(kinds)}")
        made = make(source)
        sections += [made] if made is not None else []
    front = next((section.content for section in sections if section.name == "pareto"), None)
    charts = {chart.name: {"by": chart.by, "plots": chart.plots} for s in sections for chart in s.charts}
    data: dict[str, Any] = {"study": source.digest.study.name, "charts": charts}
    if front:
        shown = {key: front[key] for key in ("axes", "tasks", "below", "panels", "stages")}
        data |= {"methods": front["methods"], "pareto": shown}
        kept = {key[:12]: f"{FOLDER}/{key}.safetensors" for key in source.networks}
        data |= {"kept": kept} if kept else {}
    html = (
        environment()
        .get_template("study.html")
        .render(
            title=source.digest.study.title,
            summary=[source.unmet, *origin.summary(source.digest)],
            sections=sections,
            tasks={name: task["title"] for name, task in front["tasks"].items()} if front else {},
            data=embedded(data),
            library=LIBRARY,
            script=script(
                "state.js", "plots.js", *(["pareto.js", "panels.js", "record.js"] if front else []), "start.js"
            ),
        )
    )
    files = {"index.html": html.encode()}
    for section in sections:
        files |= section.files
    return files


def embedded(value: Any) -> Markup:
    """A value as JSON that cannot end the script element it stands in."""
    return Markup(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def script(*names: str) -> Markup:
    """Scripts of ours, one after another."""
    return Markup("".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names))


@cache
def environment() -> jinja2.Environment:
    """The templates; what is no template of ours is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["css"] = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    made.globals["tables_script"] = script("tables.js")
    made.globals["rows_shown"] = ROWS
    return made

"""Writes the pages of a site: sections through templates, with styles, script, data and plotting library inlined."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from benchmark.site import origin
from benchmark.site.parts import Source
from benchmark.site.sections import CONDITIONS_SECTIONS, SECTIONS

TEMPLATES = Path(__file__).parent / "templates"


def write_page(source: Source) -> dict[str, bytes]:
    """The files of a study's folder, by path within it, but for its records."""
    kinds = CONDITIONS_SECTIONS if source.digest.study.conditions else SECTIONS
    sections = [section for make in kinds if (section := make(source)) is not None]
    front = next((section.content for section in sections if section.name == "pareto"), None)
    charts = {chart.name: {"by_method": chart.by_method, "plots": chart.plots} for s in sections for chart in s.charts}
    shown = front and {key: front[key] for key in ("axes", "tasks", "below")}
    page = environment().get_template("study.html")
    html = page.render(
        title=source.digest.study.title,
        summary=[source.unmet, *origin.summary(source.digest)],
        sections=sections,
        tasks=list(front["tasks"]) if front else [],
        data=front and embedded({"methods": front["methods"], "pareto": shown, "charts": charts}),
        plotly=Markup(get_plotlyjs()),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
    )
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
            "summary": origin.summary(s.digest)[0],
            "image": s.image,
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
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["css"] = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return made

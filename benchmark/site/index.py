"""The site's first page: the verdict across its studies and tasks, and a card for each study."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmark.analysis import advice, profiles, tables, verdict
from benchmark.analysis.frame import CONTROL
from benchmark.analysis.intervals import LEAST, RULE
from benchmark.experiment.study import Study
from benchmark.site import origin
from benchmark.site.page import environment
from benchmark.site.parts import Source, Table, csv

WIDTH, HEIGHT = 100, 50  # of a profile's panel, in the units that it is drawn in


def write_index(sources: list[Source]) -> dict[str, bytes]:
    """The files of the site's first page, by path within the site."""
    compared = [source for source in sources if source.digest.study.conditions is None]
    titles = {(s.digest.study.name, task): place for s in compared for task, place in _places(s.digest.study).items()}
    records = verdict.gather({s.digest.study.name: s.frame for s in compared}, titles)
    scores = verdict.seed_scores(records) if (records.label != CONTROL).any() else pd.DataFrame()
    shown, files = _verdict(records, scores) if len(scores) else (None, {})
    studies = [
        {
            "name": s.digest.study.name,
            "title": s.digest.study.title,
            "summary": origin.summary(s.digest)[0],
            "image": s.image,
        }
        for s in sources
    ]
    page = environment().get_template("index.html").render(title="Studies", studies=studies, verdict=shown)
    return {"index.html": page.encode(), **files}


def _places(study: Study) -> dict[str, str]:
    """By task the study's name, with the task in words where there are several."""
    one = len(study.tasks) == 1
    return {task.name: study.name if one else f"{study.name}: {task.words}" for task in study.tasks}


def _verdict(records: pd.DataFrame, scores: pd.DataFrame) -> tuple[dict[str, Any], dict[str, bytes]]:
    summary = verdict.summarise(scores)
    enough = verdict.with_seeds(scores)
    columns = verdict.ACCURACY if len(enough) else {}
    found = {least: profiles.profiles(enough, column) for least, column in columns.items()}
    pairs = {least: profiles.improvements(enough, column) for least, column in columns.items()}
    known = records[records.task.isin(enough.task)]
    content = {
        "sentences": advice.sentences(scores),
        "note": advice.NOTE,
        "table": table(summary),
        "rule": RULES,
        "few": few(known.task.nunique(), known.of.nunique()) if columns else "",
        "least": LEAST,
        "profiles": {f"{100 * least:g}": _panels(frame) for least, frame in found.items()},
        "pairs": {f"{100 * least:g}": _matrix(frame) for least, frame in pairs.items() if len(frame)},
        "width": WIDTH,
        "height": HEIGHT,
    }
    files = {"data/verdict.csv": csv(tables.flatten(summary))}
    if columns:
        files |= {"data/profiles.csv": csv(_joined(found)), "data/improvements.csv": csv(_joined(pairs))}
    return content, files


def few(places: int, tasks: int) -> str:
    """Over how many tasks something is, and how little so few say of others."""
    if places > tasks:
        counted = f"{places} studies' tasks, of which {tasks} {'is' if tasks == 1 else 'are'} different"
    else:
        counted = "1 task" if tasks == 1 else f"{tasks} tasks"
    if tasks > 2:
        return f"Over {counted}."
    shares = " or ".join(f"{100 * i / places:.0f}" for i in range(places + 1))
    return (
        f"Over {counted}: a share can be nothing but {shares} %, and says which methods come near the best here. Of "
        "other tasks it says nothing."
    )


def table(summary: pd.DataFrame) -> Table:
    """The verdict's table as a page shows it."""
    cells = tables.texts(summary)
    names = {"method": "method", "task": "task"}
    for least, column in verdict.ACCURACY.items():
        short = f"{100 * least:g} %"
        names |= {column: f"accuracy at {short}", f"{column}, to scratch": f"to scratch at {short}"}
        names |= {f"{column}, to dense": f"to dense at {short}"}
    names |= {verdict.WITHIN: "removed within 1 point", verdict.VOLUME: "hypervolume", "seeds": "seeds"}
    shown = cells[list(names)].rename(columns=names)
    return Table(shown, "Every method on every task", "verdict", wide=("task",), head="method")


RULES = (
    "All but hypervolume in %, differences in points. accuracy at 75 and 90 %: on test, of the point that validates"
    " best among those with at least so many parameters removed; –: no seed gets there. to scratch, to dense: that "
    "accuracy minus theirs, paired by seed. removed within 1 point: the largest share removed by a point that "
    "validates at most 1 point below dense. hypervolume: share of the rectangle from sparsity 0 to 1 and from "
    f"dense's test accuracy − 2 points to 1 that lies under the front. {RULE}"
)


def _panels(found: pd.DataFrame) -> list[dict[str, Any]]:
    """A method's profile as the points of a line and of a band, with what it comes to at one point."""
    panels = []
    for _, own in found.groupby("label", sort=False):
        at = own[own.tau == 1.0].iloc[0]
        low, high, share = (_corners(own.tau, own[column]) for column in ("low", "high", "share"))
        text = f"{100 * at.share:.0f} % ({100 * at.low:.0f} to {100 * at.high:.0f}) of {at.tasks}"
        panels.append({"title": own.method.iloc[0], "line": share, "band": f"{high} {_reversed(low)}", "text": text})
    return sorted(panels, key=lambda panel: -float(panel["text"].split()[0]))


def _corners(tau: pd.Series, share: pd.Series) -> str:
    """A staircase in the panel's units; it goes up where τ is reached."""
    points, before = [], None
    for x, y in zip(WIDTH * tau / tau.max(), HEIGHT * (1 - share), strict=True):
        if before is not None and y != before:
            points.append(f"{x:.1f},{before:.1f}")
        if before is None or y != before or x == WIDTH:
            points.append(f"{x:.1f},{y:.1f}")
        before = y
    return " ".join(points)


def _reversed(points: str) -> str:
    return " ".join(points.split()[::-1])


def _matrix(pairs: pd.DataFrame) -> Table:
    """Methods in rows against methods in columns: how often the row's is better in %, with interval and n."""
    usual = int(pairs.n.mode().max())
    texts = pairs.assign(text=[_cell(row, usual) for row in pairs.to_dict("records")])
    titles = dict(zip(pairs.label, pairs.method, strict=True))
    wide = texts.pivot(index="label", columns="against", values="text").loc[list(titles), list(titles)].fillna("")
    shown = wide.set_axis(list(titles.values()), axis=1)
    shown.insert(0, "method", list(titles.values()))
    caption = f"How often the method of the row is better than that of the column (%), n = {usual} where not said"
    return Table(shown, caption, head="method")


def _cell(row: dict[str, Any], usual: int) -> str:
    if not row["n"]:
        return "–"
    text = "{:.0f} ({:.0f} to {:.0f})".format(*(100 * row[name] for name in ("probability", "low", "high")))
    return text if row["n"] == usual else f"{text}, n = {row['n']}"


def _joined(found: dict[float, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([frame.assign(removed=least) for least, frame in found.items()], ignore_index=True)

"""The papers of methods as BibTeX.

An entry of references.bib, a file of the suite's own with a blank line between entries, is copied as it stands and not
parsed: bibtexparser 2 gives the same texts in as many lines, pybtex writes every entry anew, in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from benchmark.method.registry import get_method
from benchmark.paper.latex import escape

ENTRIES = Path(__file__).parent / "references.bib"
IDENTIFIER = re.compile(r"arXiv:(\d{4}\.\d{4,5})|doi:([^\s;,]+)|(PMLR \d+:\d+)")


def identifiers(reference: str) -> list[str]:
    """The arXiv ids, DOIs and places in PMLR that a method's reference names."""
    return [arxiv or doi or pmlr for arxiv, doi, pmlr in IDENTIFIER.findall(reference)]


def known_entries() -> dict[str, str]:
    """The entries of references.bib by key, in order."""
    blocks = ENTRIES.read_text(encoding="utf-8").split("\n\n")
    return {block[block.index("{") + 1 : block.index(",")]: block.strip() for block in blocks if block[0] == "@"}


def bibliography(names: Iterable[str]) -> str:
    """BibTeX of the papers that these methods come from, each under a comment that names the methods.

    A paper that references.bib lacks becomes a @misc made of the method's reference text, with the method's name as
    its key. A control without a paper has no entry. Raises UsageError for a name that is no method.
    """
    entries = known_entries()
    found: dict[str, tuple[str, list[str]]] = {}
    for name in sorted(set(names)):
        method = get_method(name)
        for part in map(str.strip, method.reference.split(";")):
            if part != "control":
                key, entry = _entry(entries, part) or (name, _misc(name, method.title, part))
                found.setdefault(key, (entry, []))[1].append(method.title)
    blocks = [f"% {', '.join(titles)}\n{entry}\n" for _, (entry, titles) in sorted(found.items())]
    return "\n".join(blocks)


def _entry(entries: dict[str, str], reference: str) -> tuple[str, str] | None:
    for identifier in identifiers(reference):
        for key, entry in entries.items():
            if f"{{{identifier}}}".lower() in entry.lower():
                return key, entry
    return None


def _misc(name: str, title: str, reference: str) -> str:
    return f"@misc{{{name},\n  title = {{{{{escape(title)}}}}},\n  note = {{{escape(reference)}}}\n}}"

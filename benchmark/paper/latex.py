"""Text and tables for LaTeX: pylatexenc knows the symbols, pandas' Styler the tables."""

from __future__ import annotations

from functools import cache

import pandas as pd
from pylatexenc.latexencode import RULE_DICT, UnicodeToLatexConversionRule, UnicodeToLatexEncoder

NEEDS = r"% needs \usepackage{amssymb,booktabs,graphicx}"
SMALL = "\\scriptsize\n\\setlength{\\tabcolsep}{2.5pt}\n"
OWN = {
    **{"{": r"\textbraceleft{}", "}": r"\textbraceright{}"},  # BibTeX counts a brace behind a backslash too
    "|": r"\ensuremath{|}",  # a dash in LaTeX's oldest font encoding
    "×": r"\ensuremath{\times}", "–": "--", "—": "---", "’": "'",
    "√": r"\ensuremath{\surd}", "▼": r"\ensuremath{\blacktriangledown}",
    **{c: rf"\ensuremath{{^{i}}}" for c, i in {"¹": 1, "²": 2, "³": 3}.items()},
}  # fmt: skip # what pylatexenc has not, or has otherwise


@cache
def _encoder() -> UnicodeToLatexEncoder:
    own = UnicodeToLatexConversionRule(RULE_DICT, {ord(c): text for c, text in OWN.items()})
    return UnicodeToLatexEncoder(conversion_rules=[own, "defaults"], unknown_char_warning=False)


def escape(text: str) -> str:
    """The text as LaTeX sets it, in ASCII; a letter that no command gives stays, for the input encoding."""
    return str(_encoder().unicode_to_latex(text))


def to_latex(texts: pd.DataFrame, caption: str, label: str) -> str:
    """A table of texts, as wide as the page; the first column is aligned left, the others right."""
    styled = texts.astype(str).style.format(escape).format_index(escape, axis=1).hide(axis="index")
    table = styled.to_latex(
        environment="table*",
        position_float="centering",
        caption=escape(caption),
        label=label,
        column_format="l" + "r" * (len(texts.columns) - 1),
        hrules=True,
    )
    start = r"\begin{tabular}"
    return NEEDS + "\n" + table.replace(start, SMALL + start, 1)


def to_figure(file: str, caption: str, label: str, wide: bool) -> str:
    """A figure's environment, over both columns if it is `wide`."""
    kind = "figure*" if wide else "figure"
    return (
        f"{NEEDS}\n\\begin{{{kind}}}\n\\centering\n\\includegraphics{{{file}}}\n"
        f"\\caption{{{escape(caption)}}}\n\\label{{{label}}}\n\\end{{{kind}}}\n"
    )

"""Text and tables for LaTeX."""

from __future__ import annotations

import pandas as pd

NEEDS = r"% needs \usepackage{amssymb,booktabs,graphicx}"
# What LaTeX reads as a command, and the symbols that names, units and captions here use; plain ASCII comes out.
SPECIAL = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_"},
        "{": r"\textbraceleft{}", "}": r"\textbraceright{}",  # BibTeX counts a brace behind a backslash too
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "|": r"\ensuremath{|}",
        "–": "--", "—": "---", "…": r"\ldots{}", "’": "'", "“": "``", "”": "''", "·": r"\ensuremath{\cdot}",
        "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}", "−": r"\ensuremath{-}", "√": r"\ensuremath{\surd}",
        "≤": r"\ensuremath{\leq}", "≥": r"\ensuremath{\geq}", "‖": r"\ensuremath{\|}",
        "▼": r"\ensuremath{\blacktriangledown}",
        **{c: rf"\ensuremath{{_{i}}}" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
        **{c: rf"\ensuremath{{^{i}}}" for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
        "α": r"\ensuremath{\alpha}", "β": r"\ensuremath{\beta}", "γ": r"\ensuremath{\gamma}",
        "δ": r"\ensuremath{\delta}", "ε": r"\ensuremath{\varepsilon}", "η": r"\ensuremath{\eta}",
        "λ": r"\ensuremath{\lambda}", "μ": r"\ensuremath{\mu}", "ξ": r"\ensuremath{\xi}",
        "ρ": r"\ensuremath{\rho}", "σ": r"\ensuremath{\sigma}", "τ": r"\ensuremath{\tau}",
        "Σ": r"\ensuremath{\Sigma}", "ω": r"\ensuremath{\omega}",
    }
)  # fmt: skip


def escape(text: str) -> str:
    """The text as LaTeX sets it; letters that are not in the list stay, for the input encoding."""
    return text.translate(SPECIAL)


def to_latex(texts: pd.DataFrame, caption: str, label: str) -> str:
    """A table of texts, as wide as the page; the first column is aligned left, the others right."""
    head, *rows = [[escape(str(cell)) for cell in row] for row in (texts.columns, *texts.to_numpy())]
    lines = [
        NEEDS,
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{{label}}}",
        r"\scriptsize",
        r"\setlength{\tabcolsep}{2.5pt}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def to_figure(file: str, caption: str, label: str, wide: bool) -> str:
    """A figure's environment, over both columns if it is `wide`."""
    kind = "figure*" if wide else "figure"
    return (
        f"{NEEDS}\n\\begin{{{kind}}}\n\\centering\n\\includegraphics{{{file}}}\n"
        f"\\caption{{{escape(caption)}}}\n\\label{{{label}}}\n\\end{{{kind}}}\n"
    )

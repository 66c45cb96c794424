import re

import pandas as pd
import pytest

from benchmark.analysis.summary import NOTE
from benchmark.method.registry import registry
from benchmark.paper.latex import escape, to_figure, to_latex

SAMPLE = r"a_b & 95 % of #1 {x} ~ ^ \ $ λ ξ ± – ‖w‖₂ < 10⁻³"


def balanced(text):
    """Whether environments and braces close in the order that they open."""
    open_ = []
    for kind, name, brace in re.findall(r"\\(begin|end)\{([a-z*]+)\}|(?<!\\)([{}])", text):
        if kind == "begin" or brace == "{":
            open_.append(name or "{")
        elif not open_ or open_.pop() != (name or "{"):
            return False
    return not open_


def test_the_check_itself_can_fail():
    assert balanced(r"\begin{a}{\b{}}\end{a}")
    assert not balanced(r"\begin{a}\begin{b}\end{a}\end{b}")
    assert not balanced(r"{\b{}")


def test_specials_are_escaped_and_symbols_are_math():
    made = escape(SAMPLE)
    assert made.isascii()
    assert balanced(made)
    assert r"a\_b \& 95 \% of \#1 \textbraceleft{}x\textbraceright{}" in made
    assert r"{\textasciitilde} {\textasciicircum} {\textbackslash} \$" in made
    assert r"\ensuremath{\lambda} \ensuremath{\xi} \ensuremath{\pm} --" in made
    assert not re.search(r"(?<!\\)[%&#$]", made)


@pytest.mark.parametrize("text", [NOTE, *(method.title for method in registry().methods.values())])
def test_what_the_suite_writes_comes_out_as_ascii(text):
    assert escape(text).isascii()


def test_what_others_write_comes_out_as_latex_too():
    assert escape("Rügamer: θ ≈ 0.5, x ∈ ℝ") == (
        r"R\"ugamer: \ensuremath{\theta} \ensuremath{\approx} 0.5, x \ensuremath{\in} \ensuremath{\mathbb{R}}"
    )
    assert escape("中") == "中"  # no command gives it: the input encoding has to


def test_braces_that_do_not_close_leave_bibtex_whole():
    assert "{x" not in escape("a {x").replace(r"\textbraceleft{}x", "")
    assert balanced(escape("a {x \\}"))


def test_a_table_has_as_many_cells_in_every_row_as_columns():
    texts = pd.DataFrame({"method": ["A & B", "C_1"], "best accuracy": ["97.7 ± 0.4", "–"], "within 1 %": ["1", "2"]})
    made = to_latex(texts, "50 % of λ", "tab:t")
    assert balanced(made)
    rows = [line for line in made.splitlines() if line.endswith(r"\\")]
    assert [len(re.split(r"(?<!\\)&", row)) for row in rows] == [3, 3, 3]
    assert r"\begin{tabular}{lrr}" in made
    assert r"\caption{50 \% of \ensuremath{\lambda}}" in made
    assert made.index(r"\scriptsize") < made.index(r"\begin{tabular}")
    assert [made.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_a_wide_figure_spans_both_columns():
    assert to_figure("f.pdf", "c", "fig:f", wide=True).splitlines()[1] == r"\begin{figure*}"
    assert balanced(to_figure("f.pdf", SAMPLE, "fig:f", wide=False))

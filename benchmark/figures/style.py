"""How figures look, in print and on a screen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import seaborn as sns

from benchmark.analysis.frame import SCRATCH

Color = tuple[float, float, float]
MARKERS = "osD^vP*X<>p"
COLORS = sns.color_palette("colorblind")
# Of methods: seaborn's without its grey, pale pink and pale yellow, and a magenta, a violet and an olive, so that all
# show on white and on black.
METHOD_COLORS = [*COLORS[:6], *sns.color_palette(["#dc267f"]), COLORS[9], *sns.color_palette(["#7765e3", "#808000"])]
CONTROL_COLORS = {SCRATCH: (0.0, 0.0, 0.0), "random_filter": COLORS[7]}  # the line to beat in black, chance in grey
# The place of a name in this list is its colour and marker in every figure; other names get theirs from a hash. The
# first ten, of which each has a colour of its own, are what the main studies compare.
ORDER = (
    "implicit",
    "l1",
    "group_lasso_adam",
    "magnitude_filter",
    "network_slimming",
    "d_gating",
    "sparse_group_lasso",
    "l1_adam",
    "implicit_fine_tune",
    "implicit_paper",
    "group_lasso",
    "cges",
    "ssl",
    "magnitude_weight",
    "gradual_magnitude",
    "taylor",
    "fpgm",
    "bn_scale",
    "growing_reg",
    "group_norm_sparsity",
    "random_filter",
    "spred",
    "hard_concrete",
    "scratch",
    "implicit_scale",
    "proximal_adam",
    "d_gating_adam",
    "rewa",
    "p_weight_decay",
    "adabreg",
    "hesso",
    "vibnet",
    "obd_channel",
    "dwf",
)
NORM = r"$\|w_k\|$"  # as matplotlib typesets it
TIGHT = {
    "borderaxespad": 0.2,
    "borderpad": 0.2,
    "columnspacing": 0.6,
    "handlelength": 1.2,
    "handletextpad": 0.5,
    "labelspacing": 0.3,
}
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "font.size": 9,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "deadweight",
}


@dataclass(frozen=True)
class Page:
    """What a figure is drawn for; widths in inches, font sizes in points."""

    one: float  # width of a figure with all methods in one panel
    many: float  # width of one with a panel each
    columns: int  # of those panels
    row: float  # height of a row of them
    font: float  # of axis labels
    small: float  # of what stands in and over a panel
    line: float  # width of a line, in points
    wrap: int  # characters of a line of a method's title in a legend
    title: int  # and over a panel of its own
    print: bool  # in print the text around a figure holds its title and caption

    @property
    def settings(self) -> dict[str, Any]:
        """What matplotlib is told for it; in print everything has one size."""
        if not self.print:
            return STYLE
        return {**STYLE, "font.size": self.font, "legend.fontsize": self.font, "legend.title_fontsize": self.font}


SCREEN = Page(one=7.2, many=7.2, columns=5, row=1.45, font=9, small=7, line=1.6, wrap=60, title=24, print=False)
# The column and the text width of a two-column journal, everything at one size that can be read.
PRINT = Page(one=3.3, many=6.9, columns=4, row=1.25, font=8, small=8, line=1.2, wrap=22, title=22, print=True)


def plain(text: str) -> str:
    """A user's text as matplotlib shows it letter by letter: it takes what lies between dollars for mathematics, and
    leaves a name that begins with _ out of legends."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def style(label: str) -> tuple[Color, str]:
    """The colour and the marker of a label, the same in every figure where no other method has them."""
    digest = int.from_bytes(hashlib.sha256(label.encode()).digest()[:4])
    free = len(METHOD_COLORS) * len(MARKERS) - len(ORDER)
    slot = ORDER.index(label) if label in ORDER else len(ORDER) + digest % free
    row, column = divmod(slot, len(METHOD_COLORS))
    return CONTROL_COLORS.get(label, METHOD_COLORS[column]), MARKERS[(row + column) % len(MARKERS)]


def looks(labels: Iterable[str]) -> dict[str, tuple[Color, str]]:
    """The colour and the marker of each label of one chart: its own, or where another there has it a free one.

    Labels of ORDER keep theirs before others do. Where there are more labels than colours, or than markers, one may
    return, but never both together.
    """
    made: dict[str, tuple[Color, str]] = {}
    places = {label: place for place, label in enumerate(ORDER)}
    for label in sorted(dict.fromkeys(labels), key=lambda label: places.get(label, len(ORDER))):
        color, marker = style(label)
        taken, used = ({look[part] for look in made.values()} for part in (0, 1))
        colors = [color, *METHOD_COLORS] if label not in CONTROL_COLORS else [color]
        free = [c for c in colors if c not in taken] or colors
        markers = [m for m in (marker, *MARKERS) if m not in used] or [marker, *MARKERS]
        pairs = ((c, m) for c in (*free, *colors) for m in (*markers, *MARKERS))
        made[label] = next((pair for pair in pairs if pair not in made.values()), (color, marker))
    return made


def dashes(label: str) -> str:
    """How a label's line is drawn: dashed where it is the one to beat."""
    return "--" if label == SCRATCH else "-"

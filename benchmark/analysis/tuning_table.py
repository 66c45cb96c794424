"""What tuning tried and chose, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmark.analysis.tuning import ALLOWED, Score
from benchmark.experiment.study import Study

NOTE = (
    "Every method had as many candidates, dense included, each a whole sweep of its knob with the tuning seed, which "
    "no result uses. score: for methods with a knob the hypervolume of the sweep, parameters removed × validation "
    f"accuracy, as a share of the rectangle above the floor, {100 * ALLOWED:g} points below dense's best validation "
    "accuracy; for others, and for those that another method starts from, the best validation accuracy. The best score "
    "is chosen, of equal ones the more accurate. Test accuracy is not read."
)


def tuning_table(study: Study, scores: Sequence[Score]) -> pd.DataFrame:
    """One row per method and candidate: what it changes, its score, its best validation accuracy, whether chosen."""
    rows = [
        {
            "label": score.label,
            "method": study.legend(score.label),
            "candidate": score.candidate,
            "settings": ", ".join(f"{name} {_text(value)}" for name, value in score.values.items()),
            "score": score.score,
            "best validation accuracy": score.accuracy,
            "chosen": score.chosen,
        }
        for score in scores
    ]
    return pd.DataFrame(rows)


def _text(value: object) -> str:
    if isinstance(value, list):
        return "/".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)

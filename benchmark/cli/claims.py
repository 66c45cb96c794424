"""The command that judges the paper's claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Results
from benchmark.errors import UsageError


def judge_claims(
    studies: Annotated[list[str], typer.Argument(help="Studies by name, or .toml files.")],
    results: Results = Path("results"),
) -> None:
    """Judge the paper's claims by the studies' records: each holds, does not hold, or is undecided.

    Example: deadweight claims conditions_mnist mnist
    """
    from benchmark.analysis.claims import judge, to_markdown
    from benchmark.analysis.tuning import resolved
    from benchmark.experiment.coverage import own_records
    from benchmark.experiment.published import check_compares
    from benchmark.experiment.store import Store
    from benchmark.experiment.study import load_study

    found = []
    for name in studies:
        plan = load_study(name, results)
        check_compares(plan)
        if any(plan.name == study.name for study, _ in found):
            raise UsageError(f"study {plan.name!r} is named twice")
        every = Store(results / plan.name).load()
        study = resolved(plan, every)
        records = own_records(study, every)
        if not records:
            where = f"study {plan.name!r} has no records in {results / plan.name}"
            raise UsageError(f"{where}; `deadweight run {name}` makes them")
        found.append((study, records))
    print(to_markdown(judge(found)), end="")

"""What a study's records say about where they come from."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from benchmark.experiment.record import MEASURED, Record
from benchmark.site.digest import Digest


def summary(digest: Digest) -> list[str]:
    """How much of the study there is, in sentences."""
    statuses = Counter(digest.frame.status)
    counts = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common())
    study, total = digest.study, len(digest.records) + digest.missing
    labels, tasks, seeds = (digest.frame[column].nunique() for column in ("label", "task", "seed"))
    compared = f"Settings: {labels}" if study.conditions else f"Methods: {labels}, tasks: {tasks}"
    texts = [
        f"{len(digest.records):,} of {total:,} trials ({counts}), {study.protocol.epochs} epochs each. "
        f"{compared}, seeds: {seeds}."
    ]
    if digest.missing:
        texts.append(f"{digest.missing:,} trials have no record yet.")
    if digest.strays:
        others = ", ".join(f"{count:,} {why}" for why, count in digest.strays.items())
        texts.append(f"Records in the file that are not shown: {others}.")
    return texts


def facts(digest: Digest) -> dict[str, str]:
    """When and how long the trials ran."""
    frame, records = digest.frame, digest.records
    bases = {(r.task, repr(r.base), r.seed, r.base_seconds) for r in records if r.base_seconds}
    trained = sum(r.train_seconds or 0.0 for r in records) + sum(seconds for *_, seconds in sorted(bases, key=repr))
    made = sorted(r.created for r in records if r.created)
    protocol = ", ".join(f"{name} {value}" for name, value in digest.study.protocol.model_dump().items())
    proof = frame[frame.status.isin(MEASURED)].removal_error.max()
    return {
        "study": digest.study.name,
        "protocol": protocol,
        "seeds": ", ".join(map(str, digest.study.seeds)),
        "training": f"{trained:,.0f} seconds ({trained / 3600:,.1f} hours) in all, shared base networks once",
        "recorded": f"{made[0]} to {made[-1]}" if made else "not said",
        "removal proof": "none"
        if pd.isna(proof)
        else f"largest relative difference of a logit {proof:.1e}, in float64",
    }


def versions(records: list[Record]) -> pd.DataFrame:
    """Every value that records give for a version or a piece of hardware, with the number of records."""
    counts = Counter((name, str(value)) for r in records for name, value in r.provenance.items())
    rows = [(name, value, count) for (name, value), count in sorted(counts.items())]
    return pd.DataFrame(rows, columns=["what", "value", "records"])

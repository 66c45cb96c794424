"""The reduced networks that were kept, on a page: each to download, with its record and its removal's proof."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from benchmark.experiment.record import Record
from benchmark.site.parts import Section, Source, Table

FOLDER = "kept"  # beside the records of a study, and in its part of a site
LIMIT, MOST = 32 * 2**20, 200  # bytes and number of a study's networks in a site


def read_kept(folder: Path, records: list[Record], say: Callable[[str], None]) -> dict[str, bytes]:
    """By key the files of networks kept in a study's folder that are their records', the smallest ones first.

    They are MOST, and take LIMIT bytes, at most. `say` is told of every file that does not fit its record.
    """
    if not (folder / FOLDER).is_dir():
        return {}
    from benchmark.runner.kept import KeptNetworks  # torch is imported only where there are some

    kept, by_key, found, total = KeptNetworks(folder / FOLDER, say), {record.key: record for record in records}, {}, 0
    for key, size in sorted(kept.sizes.items(), key=lambda item: (item[1], item[0])):
        room = len(found) < MOST and total + size <= LIMIT
        if room and key in by_key and kept.fits(by_key[key]):
            found[key] = kept.path(key).read_bytes()
            total += size
    return found


def networks(source: Source) -> Section | None:
    """A table of the networks to download; None where none was kept."""
    if not source.networks:
        return None
    rows = [_row(source, record) for record in source.digest.records if record.key in source.networks]
    lead = (
        "Networks of the fronts that `deadweight run --keep` kept, in safetensors, each bound to its record by a hash: "
        "`deadweight.load(FILE)` gives the network. The proof is the largest relative difference of a logit between "
        "the silenced and the reduced network that a search over so many samples found, in float64. At most "
        f"{MOST} of them, and {LIMIT / 2**20:g} MiB, are here, the smallest ones; `deadweight export` gives the others."
    )
    table = Table(
        pd.DataFrame(rows, dtype=object),
        "Reduced networks, each with its record and its removal's proof",
        head="method",
    )
    files = {f"{FOLDER}/{key}.safetensors": content for key, content in source.networks.items()}
    return Section("networks", "Networks to download", lead=lead, tables=(table,), files=files, template="plain.html")


def _row(source: Source, record: Record) -> dict[str, object]:
    study, size = source.digest.study, len(source.networks[record.key])
    knob = "–" if record.knob is None else f"{record.knob} {record.knob_value}"
    return {
        "method": study.legend(record.label),
        **({"task": record.task.name} if len(study.tasks) > 1 else {}),
        "knob": knob,
        "seed": record.seed,
        "parameters left": record.params,
        "removed (%)": f"{100 * (record.param_sparsity or 0.0):.2f}",
        "validation accuracy (%)": f"{100 * (record.val_accuracy or 0.0):.2f}",
        "test accuracy (%)": f"{100 * (record.test_accuracy or 0.0):.2f}",
        "proof": f"{record.removal_error:.1e}",
        "samples searched": sum(record.removal_tried.values()),
        "record": _record_link(source, record),
        "file (kB)": Markup('<a href="{}/{}.safetensors" download>{}</a>').format(
            FOLDER, record.key, f"{size / 1000:.1f}"
        ),
    }


def _record_link(source: Source, record: Record) -> str:
    short = record.key[:12]
    if source.digest.study.conditions:  # its page opens no record
        return short
    return Markup('<a href="?task={}&amp;record={}#pareto">{}</a>').format(record.task.name, short, short)

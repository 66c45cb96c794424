"""The reduced networks that `run --keep` stores while records come in, and takes away once they are dominated."""

from __future__ import annotations

from collections.abc import Callable

from benchmark.analysis.fronts import Fronts
from benchmark.cli.options import console
from benchmark.experiment.coverage import own_records
from benchmark.experiment.record import Record
from benchmark.experiment.store import Store
from benchmark.experiment.study import Study
from benchmark.runner.kept import KeptNetworks


def kept_of(store: Store, say: Callable[[str], None]) -> KeptNetworks:
    """The kept networks beside a study's records."""
    return KeptNetworks(store.path.parent / "kept", say)


class Keeping:
    """Keeps what is on the front of its label, task and seed so far, on validation; drops what is not any more."""

    def __init__(self, study: Study, store: Store, say: Callable[[str], None]):
        self.kept = kept_of(store, say)
        records = own_records(study, store.load())
        self.fronts = Fronts(records)
        self.kept.tidy()
        self.kept.drop({record.key for record in records} - self.fronts.keys)

    def take(self, record: Record, packed: bytes | str) -> None:
        """Keeps the network that came with a record, before the record itself is stored: a rerun would replace it."""
        dominated = self.fronts.add(record)
        if record.key not in dominated:
            self.kept.save(record, packed)
        self.kept.drop(dominated)


def show_kept(study: Study, store: Store) -> None:
    """Prints how many networks of a study's fronts are kept, and where."""
    fronts, kept = Fronts(own_records(study, store.load())).keys, kept_of(store, console.print)
    own = {key: size for key, size in kept.sizes.items() if key in fronts}
    without = len(fronts) - len(own)
    note = f"; {without} records on fronts have none: export trains those again" if without else ""
    console.print(f"kept {len(own)} networks of the fronts, {sum(own.values()) / 1e6:.1f} MB, in {kept.folder}{note}")

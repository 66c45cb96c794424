"""The command that puts together the records that several people or machines made of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import console
from benchmark.errors import UsageError
from benchmark.files import check_writable, write_whole


def merge_records(
    folders: Annotated[list[Path], typer.Argument(metavar="A B …", help="Results folders of one study.")],
    out: Annotated[Path, typer.Option(help="A new results folder, called as the study is.")],
) -> None:
    """Put together records of one study: one of each trial, the first that has a result; tuning's are among them.

    Of a study with `samples` all that were searched are kept, and the first of each method and seed count. Refused are
    records that cannot be of one study: another name, protocol, data or own network, or one trial with two results on
    one kind of machine.

    Example: deadweight merge mine/digits theirs/digits --out all/digits
    """
    if len(folders) < 2:
        raise UsageError("give at least two results folders")
    for folder in folders:
        if folder.is_file():
            raise UsageError(f"{folder} is a file; give the results folder that it lies in")
    if (out / "records.jsonl").exists():
        raise UsageError(f"{out} has records already; give another name")

    from benchmark.cli.compare import load_records
    from benchmark.experiment.brought import NOTE

    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("one of the folders is named twice")
    sources = {str(folder): load_records(folder) for folder in folders}
    note = _common_note(dict(zip(sources, folders, strict=True)))

    from benchmark.analysis.merge import merge
    from benchmark.experiment.names import study_names

    merged = merge(sources)
    study = next(iter(merged.records.values())).study
    if out.name != study:
        raise UsageError(f"results of {study} lie in a folder of its name: --out {out / study}")
    check_writable(out)
    lines = [record.model_dump_json(exclude_defaults=True) + "\n" for record in merged.records.values()]
    write_whole(out / "records.jsonl", "".join(lines).encode())
    if note:
        write_whole(out / NOTE, (folders[0] / NOTE).read_bytes())
    for name, count in merged.added.items():
        console.print(f"{name}: {len(sources[name])} records, {count} of trials that none before it has")
    console.print(
        f"{len(merged.double)} double, {len(merged.differing)} of them with another result elsewhere: the first is kept"
    )
    _tell_of_networks(folders, out)
    named = study if study in study_names() else f"{study}.toml"
    console.print(
        f"wrote {len(lines)} records to {out / 'records.jsonl'}; next: deadweight status {named} --results {out.parent}"
    )


def _tell_of_networks(folders: list[Path], out: Path) -> None:
    """Says where the folders' kept networks are: of two of one trial only that of the record taken would be used."""
    from benchmark.cli.keeping import kept_of
    from benchmark.experiment.store import Store

    for folder in folders:
        kept, target = kept_of(Store(folder), console.print), kept_of(Store(out), console.print).folder
        if kept.sizes:
            console.print(
                f"the {len(kept.sizes)} kept networks in {kept.folder} stay there: copy them to {target}, and export "
                "takes those of the records above"
            )


def _common_note(folders: dict[str, Path]) -> dict[str, str]:
    """The hashes of the own files that all folders were made with. Raises UsageError where they are not the same."""
    from benchmark.experiment.brought import NOTE, read_note

    notes = {name: read_note(folder / NOTE) for name, folder in folders.items()}
    first = next(iter(notes))
    for name, note in notes.items():
        if note != notes[first]:
            changed = next(key for key in {**note, **notes[first]} if note.get(key) != notes[first].get(key))
            raise UsageError(f"{name} was made with another {changed} than {first}")
    return notes[first]

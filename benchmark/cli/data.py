"""The command that gets datasets."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.options import DataRoot, console, use_data_root
from benchmark.data import names


def get_data(
    name: Annotated[str, typer.Argument(help="A dataset: mnist, cifar10, … or imagefolder:PATH.")],
    data_root: DataRoot = None,
) -> None:
    """Download a dataset, check it, and decode it for all later runs. What is there already is not downloaded again.

    Example: deadweight data mnist --data-root data
    """
    if names.is_own(names.check_dataset(name)):
        console.print(f"{name} is your own, so there is nothing to download; a study's task names it")
        return
    if not names.is_stored(name):
        console.print(f"{name} needs no download; deadweight run uses it as it is")
        return
    from benchmark.data import stored

    use_data_root(data_root)
    root = names.data_root()
    stored.download(name, root)
    with console.status(f"decoding {name}"):
        found = stored.read(name, root)
    count = len(found.labels)
    train = count if found.own_test is None else found.own_test
    shape = " × ".join(map(str, found.images.shape[1:]))
    console.print(
        f"{name} is ready in {root}: {train} images to train and validate on, "
        f"{count - train or 'by split_seed some of them'} to test on, {shape}, {found.classes} classes"
    )

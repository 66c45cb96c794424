"""What `deadweight list` says of networks and datasets."""

from __future__ import annotations

from benchmark.cli.options import console
from benchmark.data import names as datasets
from benchmark.networks import names as networks
from benchmark.own_files import plugins

OWN = "FILE.py:FUNCTION or package.module:FUNCTION"


def list_networks() -> None:
    """Prints the networks that a task can name."""
    found = networks.listed()
    for source, names in found.items():
        if names:
            console.print(f"{source}: {', '.join(names)}")
    if not found["timm"]:
        console.print("timm: its networks, as timm:NAME, once it is installed: pip install 'deadweight[timm]'")
    console.print(f"your own: {OWN}, called with what it takes of shape, classes, widths, activation and norm")
    console.print('a task names one: network = "my_nets.py:build"; `deadweight list datasets` lists what it learns')


def list_datasets() -> None:
    """Prints the datasets that a task can name."""
    for name, words in dataset_table().items():
        console.print(f"{name}: {words}")
    console.print('a task names one: dataset = "npz:FILE"; `deadweight list networks` lists what learns it')


def dataset_table() -> dict[str, str]:
    """By name what a dataset is."""
    found = dict.fromkeys(datasets.BUNDLED, "needs no files")
    found |= {name: f"`deadweight data {name}` downloads it" for name in datasets.TORCHVISION}
    found |= {name: f"of an installed package, {value}" for name, value in sorted(plugins(datasets.PLUGINS).items())}
    found[f"{datasets.FOLDER}PATH"] = "a folder of images, PATH/CLASS/IMAGE, or PATH/train and PATH/test"
    arrays = "x_train, y_train and where there are some x_test, y_test; vectors, signals or images, float32 or uint8"
    found[f"{datasets.ARRAYS}FILE"] = f"arrays: {arrays}"
    found[OWN] = "called without arguments, returns a dict of the same arrays"
    return found

"""The datasets and augmentations there are, by name, and where datasets lie."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from benchmark import own_files
from benchmark.errors import UsageError, unknown

ENVIRONMENT = "DEADWEIGHT_DATA"
BUNDLED = ("digits", "simulated")  # what needs no files
TORCHVISION = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
}
FOLDER = "imagefolder:"
ARRAYS = "npz:"
PLUGINS = "deadweight.datasets"  # entry points: by name the package.module:FUNCTION that loads a dataset
AUGMENTATIONS = {"crop": ("crop",), "flip": ("flip",), "crop-flip": ("crop", "flip")}


def check_dataset(name: str) -> str:
    """The name of a dataset, itself. Raises UsageError for an unknown one."""
    if is_own(name):
        own_files.check_name(own_name(name))
    elif name not in BUNDLED and not is_stored(name):
        kinds = [f"{FOLDER}PATH", f"{ARRAYS}FILE", "FILE.py:FUNCTION", *own_files.plugins(PLUGINS)]
        kinds += [ARRAYS + name] if name.endswith(".npz") else []
        raise unknown("dataset", name, [*BUNDLED, *TORCHVISION, *kinds])
    return name


def is_own(name: str) -> bool:
    """Whether a name is npz:FILE or that of the user's own code, FILE.py:FUNCTION or package.module:FUNCTION."""
    return not name.startswith(FOLDER) and (name.startswith(ARRAYS) or own_files.is_function(name))


def own_name(name: str) -> str:
    """The file or function of an own dataset's name."""
    return name.removeprefix(ARRAYS)


def canonical(name: str) -> str:
    """An own dataset's name as records have it."""
    prefix = ARRAYS if name.startswith(ARRAYS) else ""
    return prefix + own_files.canonical(own_name(name))


def resolved(name: str, noted: Mapping[str, str]) -> str:
    """The package.module:FUNCTION of a dataset that an installed package brings; any other name itself."""
    known = name in BUNDLED or name in TORCHVISION
    return name if known else own_files.installed(name, PLUGINS, noted)


def look_up(name: str, folder: Path) -> own_files.Own:
    """Makes an own dataset known that a study in `folder` names; whether it is there, its reading says.

    A file of arrays may be large, and its content is noted in records: it is not hashed.
    """
    if name.startswith(ARRAYS):
        own_files.check_name(own_files.canonical(own_name(name)))
        return own_files.know(own_name(name), own_files.Own(own_files.path_of(own_name(name), folder), ""))
    return own_files.look_up(name, folder, noted="")


def check_there(name: str) -> None:
    """Raises UsageError where the file of an own dataset is not there that a study names; it is not read."""
    if is_own(name) and not (path := own_files.get(own_name(name)).path).is_file():
        raise UsageError(f"the study names {name}, and there is no {path}")


def check_augmentation(name: str) -> None:
    """Raises UsageError for an unknown augmentation."""
    if name not in AUGMENTATIONS:
        raise unknown("augmentation", name, AUGMENTATIONS)


def data_root() -> Path:
    """The folder that datasets lie in, absolute: the environment's DEADWEIGHT_DATA, else `data` in this folder."""
    return Path(os.environ.get(ENVIRONMENT) or "data").expanduser().absolute()


def is_stored(name: str) -> bool:
    """Whether a dataset of this name lies in files."""
    return name in TORCHVISION or (name.startswith(FOLDER) and name != FOLDER)


def slug(name: str) -> str:
    """A dataset's name as file names can hold it: an image folder's last part and a hash of its whole path."""
    if is_own(name):
        return ("npz-" if name.startswith(ARRAYS) else "") + own_files.slug(own_name(name))
    if not name.startswith(FOLDER):
        return name
    path = name.removeprefix(FOLDER)
    last = re.sub(r"[^A-Za-z0-9.]+", "-", Path(path).name).strip("-.")
    return "-".join(part for part in ("imagefolder", last, hashlib.sha256(path.encode()).hexdigest()[:6]) if part)

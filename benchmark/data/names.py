"""The datasets and augmentations there are, by name, and where datasets lie."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from benchmark.errors import unknown

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
AUGMENTATIONS = {"crop": ("crop",), "flip": ("flip",), "crop-flip": ("crop", "flip")}


def check_dataset(name: str) -> str:
    """The name of a dataset, itself. Raises UsageError for an unknown one."""
    if name not in BUNDLED and not is_stored(name):
        raise unknown("dataset", name, [*BUNDLED, *TORCHVISION, f"{FOLDER}PATH"])
    return name


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
    if not name.startswith(FOLDER):
        return name
    path = name.removeprefix(FOLDER)
    last = re.sub(r"[^A-Za-z0-9.]+", "-", Path(path).name).strip("-.")
    return "-".join(part for part in ("imagefolder", last, hashlib.sha256(path.encode()).hexdigest()[:6]) if part)

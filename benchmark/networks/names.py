"""The networks there are and their options, by name."""

from __future__ import annotations

from benchmark.errors import unknown

NETWORKS = ("mlp", "lenet300", "lenet5", "vgg11", "vgg16", "basicnet", "resnet20", "resnet56")
TORCHVISION = "torchvision:"
ACTIVATIONS = {  # and what torch calls them
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}
NORMS = ("batch", "none")
FLATTENING = {"mlp": 0, "lenet300": 0, "lenet5": 2}  # hidden layers in front of where images or channels are flattened


def check(network: str, widths: tuple[int, ...] = (), activation: str = "relu", norm: str = "batch") -> None:
    """Raises ValueError, in one line, if there is no such network or it does not have such options."""
    for kind, name, valid in (("activation", activation, ACTIVATIONS), ("norm", norm, NORMS)):
        if name not in valid:
            raise ValueError(str(unknown(kind, name, valid)))
    if network in NETWORKS:
        return
    names = [TORCHVISION + name for name in _classifiers()] if network.startswith(TORCHVISION) else list(NETWORKS)
    if network not in names:
        raise ValueError(str(unknown("network", network, names)))
    if widths or activation != "relu" or norm != "batch":
        raise ValueError(f"{network} has its own widths, activation and norm: leave these options at their defaults")


def check_features(network: str) -> None:
    """Raises ValueError, in one line, for a network whose features cannot be removed one by one."""
    if network not in FLATTENING:
        raise ValueError(f"single features are for {', '.join(FLATTENING)}, not {network}: leave out `features`")


def _classifiers() -> list[str]:
    from benchmark.torchvision_import import import_torchvision  # torchvision alone knows its networks' names

    models = import_torchvision().models
    return models.list_models(module=models)

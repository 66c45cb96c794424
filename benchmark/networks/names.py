"""The networks there are and their options, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from benchmark import own_files
from benchmark.errors import UsageError, unknown

NETWORKS = ("mlp", "lenet300", "lenet5", "vgg11", "vgg16", "basicnet", "resnet20", "resnet56")
TORCHVISION = "torchvision:"
TIMM = "timm:"
PLUGINS = "deadweight.networks"  # entry points: by name the package.module:FUNCTION of a network
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


def is_own(network: str) -> bool:
    """Whether a name is that of the user's own code, FILE.py:FUNCTION or package.module:FUNCTION."""
    return not network.startswith((TORCHVISION, TIMM)) and own_files.is_function(network)


def resolved(network: str, noted: Mapping[str, str]) -> str:
    """The package.module:FUNCTION of a network that an installed package brings; any other name itself."""
    return network if network in NETWORKS else own_files.installed(network, PLUGINS, noted)


def check(network: str, widths: tuple[int, ...] = (), activation: str = "relu", norm: str = "batch") -> None:
    """Raises ValueError, in one line, if there is no such network or it does not have such options.

    An own network, and one of timm's, is looked at where it is built: a record of it can be read without.
    """
    for kind, name, valid in (("activation", activation, ACTIVATIONS), ("norm", norm, NORMS)):
        if name not in valid:
            raise ValueError(str(unknown(kind, name, valid)))
    if network in NETWORKS or is_own(network):
        return
    known = [TORCHVISION + name for name in _classifiers()] if network.startswith(TORCHVISION) else [*NETWORKS]
    if network not in known and not (network.startswith(TIMM) and network != TIMM and network.isprintable()):
        raise ValueError(str(unknown("network", network, [*known, *own_files.plugins(PLUGINS), "FILE.py:FUNCTION"])))
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


def listed() -> dict[str, list[str]]:
    """The names of all networks there are, by where they come from; timm's where that is installed."""
    from importlib.util import find_spec

    found = {"built in": [*NETWORKS], "installed packages": sorted(own_files.plugins(PLUGINS))}
    found["torchvision"] = [TORCHVISION + name for name in _classifiers()]
    found["timm"] = [TIMM + name for name in timm().list_models()] if find_spec("timm") else []
    return found


def timm() -> ModuleType:
    """timm, which needs torchvision. Raises UsageError where it is not installed."""
    from benchmark.torchvision_import import import_torchvision

    import_torchvision()
    try:
        import timm
    except ImportError as error:
        raise UsageError(f"timm cannot be imported ({error}): pip install 'deadweight[timm]'") from None
    return timm

"""torchvision, importable beside any build of torch."""

import importlib.util
from pathlib import Path
from types import ModuleType

import torch


def _ops_library_loads() -> bool:
    package = importlib.util.find_spec("torchvision")
    libraries = list(Path(package.submodule_search_locations[0]).glob("_C.*"))
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return bool(libraries)


def import_torchvision() -> ModuleType:
    """The torchvision package.

    Its wheel is built against CUDA. Beside a torch without CUDA its compiled ops cannot load, and its import fails on
    the fake kernels it registers for two of them; declaring those two is enough for datasets, transforms and models.
    """
    if not hasattr(torch.ops.torchvision, "nms") and not _ops_library_loads():
        schemas = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library = torch.library.Library("torchvision", "DEF")
        library.define(f"nms{schemas}")
        library.define(f"qnms{schemas}")
        import_torchvision.library = library  # the schemas live as long as this object
    import torchvision

    return torchvision

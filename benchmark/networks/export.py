"""Writes reduced networks in forms that others can load, and loads each again before it says so.

`state_dict` is a folder with the layers' sizes, widths.json, and a plain state dict, weights.pt. `deadweight.load`
reads it, and so do these lines, with `network` the dense network that it was reduced from:

    for name, sizes in json.loads(Path(folder, "widths.json").read_text())["layers"].items():
        for key, size in sizes.items():
            setattr(network.get_submodule(name), key, size)
    state = torch.load(Path(folder, "weights.pt"), weights_only=True)
    for name, tensor in state.items():
        layer, _, key = name.rpartition(".")
        layer = network.get_submodule(layer)
        setattr(layer, key, tensor if key in layer._buffers else torch.nn.Parameter(tensor))
    network.load_state_dict(state)

`torch` is a torch.export program (torch.export.load), `onnx` an ONNX model; both take batches of any size.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import UsageError, first_line, unknown
from benchmark.networks.kept import read
from benchmark.networks.measure import evaluating, logits
from benchmark.networks.sizes import Layers, build_again, layer_sizes, resize

TOLERANCE = 1e-4  # relative deviation of a float32 logit between two runtimes that sum in another order
SUFFIXES = {"torch": ".pt2", "onnx": ".onnx"}  # of the forms that are one file
PACKAGES = {"onnx": ("onnx", "onnxruntime", "onnxscript")}  # what a form needs beside torch


@dataclass(frozen=True)
class Exported:
    """A written network, and how its loaded copy compares with it on the images given."""

    path: Path
    deviation: float  # largest |Δlogit| over the largest |logit|
    accuracy: float | None  # of the loaded copy; None without labels


def check_target(target: Path, form: str) -> None:
    """Raises UsageError, before anything is trained for it, where `export` could not write `form` to `target`.

    That is where the target exists, has another form's suffix, its folder cannot be written to, or the form is unknown
    or lacks its packages.
    """
    if form not in WRITERS:
        raise unknown("format", form, WRITERS)
    for package in PACKAGES.get(form, ()):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"{package} is missing: pip install 'deadweight[onnx]'")
    other = next((name for name, suffix in SUFFIXES.items() if target.suffix == suffix and name != form), None)
    if other is not None:
        raise UsageError(f"{target} is a name for the format {other}, and it would hold {form}: give another of both")
    try:
        if target.exists():
            raise UsageError(f"{target} exists already; give another name or remove it")
        if not target.parent.is_dir():
            raise UsageError(f"{target.parent} is no folder")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}."):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from None


def export(
    module: nn.Module,
    target: str | Path,
    form: str,
    images: Tensor,
    labels: Tensor | None = None,
    network: dict[str, Any] | None = None,
) -> Exported:
    """Writes a reduced network to `target` as `state_dict`, `torch` or `onnx`, once a loaded copy has proved equal.

    `images` (N × C × H × W, N ≥ 2) are what the copy is compared on; with `labels` its accuracy must be the same too.
    `network` holds the arguments of `build.build` that give the dense network, by name; without it, whoever loads a
    `state_dict` has to bring that network. Raises UsageError as `check_target` does, and if the loaded copy differs;
    then nothing is left behind.
    """
    target = Path(target)
    check_target(target, form)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        draft = Path(folder) / target.name
        try:
            with evaluating(module), _quiet():
                found = WRITERS[form](module, draft, images, network)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{form} cannot express {type(module).__name__}: {first_line(error)}") from error
        exported = _compare(form, target, found, logits(module, images), labels)
        if target.exists():
            raise UsageError(f"{target} exists already; give another name or remove it")
        draft.replace(target)
    return exported


def load(path: str | Path, network: nn.Module | None = None) -> nn.Module:
    """The reduced network that a `state_dict` export or a kept file holds, in evaluation mode.

    `network` is the dense network it was reduced from; networks of the benchmark are built without it. Raises
    UsageError if there is no such network, or it does not fit.
    """
    path = Path(path)
    arguments, layers, state = _read(path)
    if network is None:
        if arguments is None:
            raise UsageError(f"{path} was reduced from a network of your own: pass it, load({path.name!r}, network)")
        network = build_again(arguments)
    try:
        resize(network, layers, state)
    except (AttributeError, RuntimeError) as error:
        raise UsageError(f"{path} does not fit {type(network).__name__}: {_first_complaint(error)}") from None
    return network.eval()


def _read(path: Path) -> tuple[dict[str, Any] | None, Layers, dict[str, Tensor]]:
    try:
        if path.is_file():
            about, state = read(path)
            return about.network, about.layers, state
        description = json.loads((path / "widths.json").read_text())
        state = torch.load(path / "weights.pt", weights_only=True, map_location="cpu")
        return description["network"], description["layers"], state
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError(f"{path} holds no exported network: {first_line(error)}") from None


def _first_complaint(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 else lines[0]


def _compare(form: str, target: Path, found: Tensor, expected: Tensor, labels: Tensor | None) -> Exported:
    expected = expected.cpu()
    scale = expected.abs().max().item() or 1.0
    deviation = (found - expected).abs().max().item() / scale
    if not deviation <= TOLERANCE:
        raise UsageError(f"the {form} copy deviates by {deviation:.3g}, over {TOLERANCE:g}; nothing was written")
    if labels is None:
        return Exported(target, deviation, None)
    accuracies = [(x.argmax(1) == labels.cpu()).double().mean().item() for x in (found, expected)]
    if accuracies[0] != accuracies[1]:
        raise UsageError(f"the {form} copy has accuracy {accuracies[0]}, not {accuracies[1]}; nothing was written")
    return Exported(target, deviation, accuracies[0])


def _write_state_dict(module: nn.Module, draft: Path, images: Tensor, network: dict[str, Any] | None) -> Tensor:
    draft.mkdir()
    description = {"network": network, "layers": layer_sizes(module)}
    (draft / "widths.json").write_text(json.dumps(description, indent=1) + "\n")
    torch.save({name: tensor.cpu() for name, tensor in module.state_dict().items()}, draft / "weights.pt")
    copied = load(draft, None if network else _blank(module))
    return logits(copied, images.cpu())


def _blank(module: nn.Module) -> nn.Module:
    """The network's structure with weights that any mistake in loading would leave behind."""
    blank = copy.deepcopy(module).cpu()
    for tensor in (*blank.parameters(), *blank.buffers()):
        tensor.data.zero_()
    return blank


def _write_program(module: nn.Module, draft: Path, images: Tensor, _: dict[str, Any] | None) -> Tensor:
    with draft.open("xb") as file:
        torch.export.save(_program(module, images), file)
    with draft.open("rb") as file, torch.no_grad():
        return torch.export.load(file).module()(images).cpu()


def _program(module: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(module, (images[:2],), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))


def _write_onnx(module: nn.Module, draft: Path, images: Tensor, _: dict[str, Any] | None) -> Tensor:
    import onnxruntime

    program = torch.onnx.export(_program(module, images), dynamo=True, verbose=False)
    program.save(str(draft), external_data=False)
    session = onnxruntime.InferenceSession(str(draft), providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: images.cpu().numpy()}
    return torch.from_numpy(session.run(None, inputs)[0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what exporters print about themselves from the user, who gets one line."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


WRITERS: dict[str, Callable[[nn.Module, Path, Tensor, dict[str, Any] | None], Tensor]] = {
    "state_dict": _write_state_dict,
    "torch": _write_program,
    "onnx": _write_onnx,
}

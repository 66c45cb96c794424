"""What share of well-known classifiers can be removed exactly, beside torch-pruning: the table in removal's README.

    python -m tests.performance.survey --out FOLDER [NAME …]

reduces one network of every family of torchvision and of 46 families of timm, half of the channels of each group
silenced at random, and prints the table in Markdown. Counted are the outputs of plain convolutions and of MLPs' hidden
layers. `of plain` leaves out those that a norm over channels or a product of activations reads, by the reason for which
their group is kept whole: there, taking a silent channel away changes the others. `of all` leaves out none. Every
network has a process of its own, so that a crash or a time-out is a row; rows are kept in FOLDER, and a run that was
cut off goes on where it was. No weights are downloaded.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.removal.exact import remove_silent
from benchmark.removal.groups import net_from_trace
from benchmark.removal.labels import Trace, hidden_groups, reasons_to_keep
from benchmark.removal.trace import trace
from tests.support.families import make, networks

SIDES = (64, 96, 128, 224)  # of the images: the smallest that the network accepts
LIMIT = 60  # seconds of CPU for each side of one network
MIXERS = ("layer_norm", "group_norm", "rms_norm", "scaled_dot_product_attention", "matmul", "bmm", "baddbmm", "einsum")
MEMORY = 8 << 30  # bytes that it may take


def images(side: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(side), dtype=torch.float64)


@torch.no_grad()
def settle(module: nn.Module) -> int:
    """Parameters of a trained network's size, so that every branch counts and silent channels emit constants, and
    statistics that fit; returns the images' side."""
    side = next(side for side in SIDES if accepts(module.eval(), side))
    for parameter in module.parameters():
        if parameter.abs().max() < 1e-3:  # shifts of 0, layer scales of 1e-6
            parameter.normal_(std=0.3)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train().momentum = 1.0
    module(images(side, 8))
    module.eval()
    return side


@torch.no_grad()
def accepts(module: nn.Module, side: int) -> bool:
    try:
        module(images(side))
    except Exception:
        return False
    return True


def counted(module: nn.Module) -> dict[str, int]:
    """Output channels of the plain convolutions, depthwise ones aside, and of linear layers that widen: an MLP's."""
    layers = {n: m for n, m in module.named_modules() if type(m) in (nn.Conv2d, nn.Linear)}
    wide = {n: m for n, m in layers.items() if isinstance(m, nn.Linear) and m.out_features > m.in_features}
    mlps = {n for n in wide if not any(word in n for word in ("attn", "attention", "qkv", "head", "classifier"))}
    return {
        name: layer.weight.shape[0]
        for name, layer in layers.items()
        if name in mlps or (isinstance(layer, nn.Conv2d) and (layer.groups == 1 or layer.weight.shape[1] > 1))
    }


def mixed(followed: Trace) -> set[str]:
    """The layers whose channels a norm over channels or a product of activations reads."""
    groups = hidden_groups(followed)
    reasons = reasons_to_keep(followed, groups)
    inexact = {f"{mixer} mixes them" for mixer in MIXERS}
    labels = {i for name, ids in groups.items() if reasons.get(name) in inexact for i in ids.tolist()}
    return {name for name, layer in followed.dense.items() if not labels.isdisjoint(layer.writes.tolist())}


@torch.no_grad()
def deviation(reduced: nn.Module, silenced: nn.Module, side: int) -> float | None:
    if not accepts(silenced, side):
        return None
    expected, found = silenced(images(side)), reduced.eval()(images(side))
    return ((found - expected).abs().max() / expected.abs().max()).item()


def ours(module: nn.Module, side: int) -> dict[str, Any]:
    """Incoming weights alone are zeroed, so that silent channels emit constants."""
    generator, total = torch.Generator().manual_seed(0), counted(module)
    followed = trace(module, images(side))
    others = mixed(followed)
    groups = net_from_trace(module, followed).groups
    removable = [len(site.positions) for group in groups for site in group.writers if site.name in total]
    for group in groups:
        group.zero_incoming(torch.randperm(group.size, generator=generator) < group.size // 2)
    start = time.process_time()
    removal = remove_silent(module, images(side))
    return {
        "seconds": time.process_time() - start,
        "share": sum(removable) / sum(count for name, count in total.items() if name not in others),
        "of_all": sum(removable) / sum(total.values()),
        "deviation": max(removal.deviation, deviation(removal.module, module, side)),
        "elsewhere": deviation(removal.module, module, side + 32),
    }


@torch.no_grad()
def theirs(module: nn.Module, side: int) -> dict[str, Any]:
    """torch-pruning's own groups, all that makes half of their channels zeroed: shifts too, so that ReLUs emit 0."""
    import torch_pruning as tp

    generator, total = torch.Generator().manual_seed(0), counted(module)
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1:]
    start = time.process_time()
    with torch.enable_grad():
        graph = tp.DependencyGraph().build_dependency(module, example_inputs=images(side))
    seconds = time.process_time() - start
    doomed = []
    for group in graph.get_all_groups(ignored_layers=last, root_module_types=[nn.Conv2d, nn.Linear]):
        size = len(group[0].idxs)
        half = torch.randperm(size, generator=generator)[: size // 2].sort().values.tolist()
        root = group[0].dep.target.module
        doomed.append((root, group[0].dep.handler, half))
        for dependency, positions in graph.get_pruning_group(root, group[0].dep.handler, half):
            layer = dependency.target.module
            if graph.is_out_channel_pruning_fn(dependency.handler) and isinstance(
                getattr(layer, "weight", None), Tensor
            ):
                for parameter in layer.parameters(recurse=False):
                    parameter[positions] = 0
    silenced = copy.deepcopy(module)
    start = time.process_time()
    for root, prune, half in doomed:
        graph.get_pruning_group(root, prune, half).prune()
    seconds += time.process_time() - start
    left = counted(module)
    removed = sum(count - left.get(name, count) for name, count in total.items())
    return {
        "seconds": seconds,
        "share": min(1.0, removed / sum(count // 2 for count in total.values())),
        "deviation": deviation(module, silenced, side),
    }


class OverTimeError(BaseException):
    """A side took too long. No Exception, which code that is measured may handle."""


@contextmanager
def limited() -> Iterator[None]:
    """A context that is left with an OverTimeError after so much CPU time."""

    def stop(*_: object) -> None:
        raise OverTimeError(f"over {LIMIT} s")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def row(name: str) -> dict[str, Any]:
    """The network's row; what fails holds the first line of its error."""
    resource.setrlimit(resource.RLIMIT_CPU, (3 * LIMIT, 3 * LIMIT))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    module = make(name).double()
    side = settle(module)
    found: dict[str, Any] = {"name": name, "side": side}
    for column, measure in (("ours", ours), ("theirs", theirs)):
        try:
            with limited():
                found[column] = measure(copy.deepcopy(module), side)
        except (Exception, OverTimeError) as error:
            found[column] = {"error": (str(error).strip() or type(error).__name__).splitlines()[0][:90]}
    return found


def survey(names: list[str], file: Path) -> list[dict[str, Any]]:
    """The rows of all networks, those in the file as they are."""
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    command = [sys.executable, "-W", "ignore", "-m", "tests.performance.survey", "--row"]
    for name in [n for n in names if n not in {r["name"] for r in rows}]:
        done = subprocess.run([*command, name], capture_output=True, text=True)
        if done.returncode == 0:
            rows.append(json.loads(done.stdout.splitlines()[-1]))
        elif done.returncode < 0:
            killed = -done.returncode in (signal.SIGXCPU, signal.SIGKILL)
            rows.append({"name": name, "error": f"over {3 * LIMIT} s" if killed else f"signal {-done.returncode}"})
        else:
            rows.append({"name": name, "error": done.stderr.strip().splitlines()[-1][:90]})
        with file.open("a") as kept:
            kept.write(json.dumps(rows[-1]) + "\n")
    return [r for r in rows if r["name"] in names]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| network | px | removable: of plain | of all | worst deviation | at + 32 px | s "
        "| torch-pruning: of all | deviation | s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        mine, other = r.get("ours", r), r.get("theirs", {"error": "–"})
        left = [mine["error"], "", "", "", ""] if "error" in mine else [
            f"{mine['share']:.0%}", f"{mine['of_all']:.0%}", f"{mine['deviation']:.0e}",
            "–" if mine["elsewhere"] is None else f"{mine['elsewhere']:.0e}", f"{mine['seconds']:.1f}",
        ]  # fmt: skip
        right = [other["error"], "", ""] if "error" in other else [
            f"{other['share']:.0%}", f"{other['deviation']:.0e}", f"{other['seconds']:.1f}"
        ]  # fmt: skip
        lines.append("| " + " | ".join([r["name"], str(r.get("side", "")), *left, *right]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("survey"), metavar="FOLDER")
    parser.add_argument("--row", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(row(arguments.row)))
    else:
        arguments.out.mkdir(parents=True, exist_ok=True)
        print(table(survey(arguments.names or networks(), arguments.out / "rows.jsonl")))

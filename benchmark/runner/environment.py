"""Where a trial ran, and with which versions."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def peak_memory(device: str) -> int:
    """Bytes, of the GPU or of this process, at most so far."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@cache
def hardware(device: str) -> dict[str, Any]:
    """Where a trial ran."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        "device": name if device.startswith("cuda") else "cpu",
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
    }


def _cpu_name(info: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor calls itself, with its family and model and the instructions that torch has for it.

    Machines of one name may have others, and then round otherwise.
    """
    told: dict[str, str] = {}
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        told = {name.strip(): value.strip() for name, _, value in reversed(list(lines))}  # the first processor's
    name = told.get("model name") or platform.processor() or platform.machine()
    kind = [f"{part} {told[key]}" for part, key in (("family", "cpu family"), ("model", "model")) if key in told]
    return f"{name} ({', '.join([*kind, torch.backends.cpu.get_cpu_capability()])})"


@cache
def software() -> dict[str, Any]:
    """The code's version and the libraries' that results depend on."""
    return {**checkout(), **versions()}


def versions() -> dict[str, Any]:
    """The libraries of this process. Preloaded ones are named, since some replace the arithmetic."""
    found = {name: version(name) for name in ("torch", "ray", "numpy")}
    found |= {"python": platform.python_version(), "deadweight": version("deadweight")}
    preloaded = [Path(name).name for name in re.split("[: ]", os.environ.get("LD_PRELOAD", "")) if name]
    return {**found, **({"preloaded": preloaded} if preloaded else {})}


def checkout() -> dict[str, Any]:
    """Commit of this code, and whether it was changed since; None outside a checkout."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():  # installed below another repository
            return {"commit": None, "dirty": None}
        changed = git("status", "--porcelain", "--", "benchmark", "methods", "baselines", "constraints.txt")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}

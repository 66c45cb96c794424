"""Ray, started here or joined on a cluster: quiet, with this machine's code, and given up where it does not answer."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TextIO

import torch

from benchmark.errors import UsageError
from benchmark.method.registry import ENTRY_POINTS
from benchmark.runner.identity import SUITE
from benchmark.runner.in_process import Resources
from benchmark.runner.luggage import own_modules, pack, place
from benchmark.runner.ray_import import ray

JOINED = 45.0  # seconds that a cluster has to take this process in
SILENCE = 45.0  # seconds without an answer after which the cluster's head counts as lost: Ray itself ends us at 60
PROBED = 3.0  # seconds between two questions whether it is there
WORDS = 300  # characters of what Ray says of a failed start
KEPT = "what is done is kept: run the same command to go on"


@contextlib.contextmanager
def running_ray(resources: Resources, log_folder: Path) -> Iterator[None]:
    """A running Ray, quiet, private, and stopped at the end; its own messages go to a file.

    Raises UsageError where it does not start or the cluster does not answer. This process ends, with one line and exit
    code 2, where that cannot be raised: a cluster's head that is gone leaves Ray's calls waiting.
    """
    if resources.address is not None:
        _check_address(resources.address)
    log_folder.mkdir(parents=True, exist_ok=True)
    path = log_folder / "ray.log"
    with path.open("a", buffering=1) as log, _diverted(log) as give_up:
        began = path.stat().st_size
        try:
            with contextlib.chdir(log_folder):  # Ray lets workers import from here first
                _start(resources, give_up)
        except Exception as error:
            raise UsageError(_refusal(resources, error, path, began)) from error
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # in place of Ray's: a polite kill is a Ctrl-C
        ended = threading.Event()
        head = ray.get_runtime_context().gcs_address
        threading.Thread(target=_watch, args=(head, ended, give_up), daemon=True).start()
        try:
            yield
        finally:
            with _uninterrupted():
                ray.shutdown()
            ended.set()


def _start(resources: Resources, give_up: Callable[[str], None]) -> None:
    quiet = {"log_to_driver": False, "configure_logging": False}
    if resources.address is None:
        own = ray.job_config.JobConfig(_py_driver_sys_path=_import_path())
        ray.init("local", job_config=own, include_dashboard=False, num_gpus=torch.cuda.device_count(), **quiet)
        return
    late = threading.Timer(JOINED, give_up, [f"no Ray cluster answers at {resources.address!r} within {JOINED:g} s"])
    late.daemon = True
    late.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            ray.init(resources.address, runtime_env={"py_modules": _code(Path(folder))}, **quiet)
    finally:
        late.cancel()


def _refusal(resources: Resources, error: Exception, log: Path, began: int) -> str:
    """Why Ray could not be started, in one line; what its C++ part said stands in the log."""
    denied = b"InvalidAuthToken" in log.read_bytes()[began:] or isinstance(error, ray.exceptions.AuthenticationError)
    if denied:
        return (
            f"the Ray cluster at {resources.address!r} does not take this token; set RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN_PATH to a file with the cluster's own (on its head that is ~/.ray/auth_token)"
        )
    words = " ".join(str(error).split())[:WORDS]  # Ray's messages have many lines
    return f"Ray did not start: {type(error).__name__}: {words}; its log is in {log.parent}"


def _code(folder: Path) -> list[str]:
    """What the machines of a cluster import: the suite and the user's own methods, under the names they have here."""
    info = folder / f"deadweight-{version('deadweight')}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: deadweight\nVersion: {version('deadweight')}\n")
    points = [f"{point.name} = {point.value}\n" for point in entry_points(group=ENTRY_POINTS)]
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{''.join(points)}")
    modules = map(place, (*SUITE, "deadweight", *own_modules()))
    return [str(path) for path in (info, *pack(folder), *modules)]


def _import_path() -> list[str]:
    """Where this process imports from, last place first, as Ray's workers put one before another.

    So they import what this process does, whatever lies in the working directory.
    """
    return [os.path.abspath(place) for place in reversed(sys.path)]  # noqa: PTH100 - it may be a zip file, or ""


def _check_address(address: str) -> None:
    if address == "auto":
        return
    if "://" in address:
        raise UsageError(
            f"{address!r} is no HOST:PORT; run on one of the cluster's machines, with its head's port 6379"
        )
    try:
        _knock(address)
    except (OSError, ValueError) as error:
        raise UsageError(f"no Ray cluster answers at {address!r} ({error}); start one or leave out --address") from None


def _knock(address: str) -> None:
    """Raises OSError where nothing answers at HOST:PORT, and ValueError where the address is none."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5):
        pass


def _watch(head: str, ended: threading.Event, give_up: Callable[[str], None]) -> None:
    """Gives up once the cluster's head has not answered for long."""
    heard = time.monotonic()
    while not ended.wait(PROBED):
        try:
            _knock(head)
            heard = time.monotonic()
        except OSError:
            if time.monotonic() - heard > SILENCE and not ended.is_set():
                give_up(f"the head of the Ray cluster, {head}, has not answered for {SILENCE:g} s; {KEPT}")


@contextlib.contextmanager
def _diverted(log: TextIO) -> Iterator[Callable[[str], None]]:
    """Sends what Ray logs and prints in the driver to a file; a progress bar must hold on to the terminal itself.

    Gives what ends this process with a line on the terminal.
    """
    logger, handler = logging.getLogger("ray"), logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before, logger.handlers, logger.propagate = logger.handlers, [handler], False
    terminal = os.dup(2)
    os.dup2(log.fileno(), 2)  # of Ray's C++ part

    def give_up(line: str) -> None:
        show_cursor = "\x1b[?25h" if os.isatty(terminal) else ""  # a progress bar hides it
        os.write(terminal, f"{show_cursor}\ndeadweight: {line}\n".encode())
        os._exit(2)

    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield give_up
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        logger.handlers = before


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Lets a second Ctrl-C wait, so that no worker process is left behind."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

"""Ray clusters of several machines on this one: each has a working directory, data and Python path of its own."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import sys
import tempfile
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in str(finder)]
sys.path[:] = [place for place in sys.path if place != {root!r}]
{more}
"""  # a machine where deadweight is not installed
ROOT = Path(__file__).parents[2]
BY_HAND = ROOT / "examples" / "cluster" / "by_hand.sh"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


class RayCluster:
    """Machines that are started, killed, and ended together; the first is the head."""

    def __init__(self, folder):
        self.folder, self.processes = folder, {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.sockets = tempfile.mkdtemp(prefix="ray-")  # short: a socket's path has at most 107 bytes
        (folder / "token").write_text(secrets.token_hex(32))

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def token(self):
        """The environment with which this cluster lets one in."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token")}

    def start(self, name, cpus=1, python="", **environment):
        """Starts a machine; `python` runs at the start of each of its Pythons."""
        home = self.folder / name
        (home / "site").mkdir(parents=True)
        (home / "site" / "sitecustomize.py").write_text(BARE.format(root=str(ROOT), more=python))
        where = ["--address", self.address] if self.processes else ["--head", "--port", str(self.port)]
        if not self.processes:
            where += ["--include-dashboard", "false", "--temp-dir", self.sockets]
        with (home / "log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                ["sh", BY_HAND, *where, "--num-cpus", str(cpus)],
                cwd=home,
                env={**os.environ, **self.token, "PATH": PATH, "PYTHONPATH": str(home / "site"), **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline, log = time.monotonic() + 300, home / "log"
        while "Ray runtime started" not in log.read_text():
            assert self.processes[name].poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def kill(self, name):
        """Kills a machine with all that runs on it."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):  # it may not have started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def logs(self):
        """What each machine that should run has printed, and how it ended if it did."""
        return {
            name: (process.poll(), (self.folder / name / "log").read_text()) for name, process in self.processes.items()
        }

    def end(self):
        for name in reversed(list(self.processes)):
            self.kill(name)
        shutil.rmtree(self.sockets, ignore_errors=True)

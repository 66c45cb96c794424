"""Ten thousand trials through Ray. Run with: pytest tests/performance/test_sweep_scale.py --scale --capture no

Beside the sweep stands the ideal: the rate of trials one after another in one process, times the cores. Memory is the
driver's own. Wants a machine with nothing else on it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.experiment.store import Store

COMMAND = [sys.executable, "-c", "import sys; from benchmark.cli.main import main; sys.argv[0] = 'deadweight'; main()"]
POINTS, PART, EVERY = 100, 10, 0.2  # of the knob; the share whose rate is compared; seconds between two looks
STUDY = """
title = "Many"
seeds = {seeds}
protocol = {{epochs = 1}}
tasks = [{{dataset = "digits", network = "mlp", widths = [16]}}]
methods = {{implicit = {{strength = {strengths}}}}}
"""

Look = tuple[float, int, int]  # seconds since the start, records, the driver's bytes


def study(folder: Path, trials: int) -> Path:
    """A study of so many short trials."""
    path = folder / f"many{trials}.toml"
    strengths = [round(0.001 * (1 + i / POINTS), 6) for i in range(POINTS)]
    path.write_text(STUDY.format(seeds=list(range(trials // POINTS)), strengths=strengths))
    return path


def watched(path: Path, *options: str) -> list[Look]:
    """Runs a study to its end; what was seen meanwhile."""
    records = path.parent / "results" / path.stem / "records.jsonl"
    started, looks, lines, read = time.monotonic(), [], 0, 0
    process = subprocess.Popen(
        [*COMMAND, "run", path.name, *options], cwd=path.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        if records.exists():
            with records.open("rb") as file:
                file.seek(read)
                content = file.read()
            read, lines = read + len(content), lines + content.count(b"\n")
        looks.append((time.monotonic() - started, lines, resident(process.pid)))
        time.sleep(EVERY)
    assert process.returncode == 0
    return looks


def resident(process: int) -> int:
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):  # it has just ended
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def when(looks: list[Look], records: int) -> Look:
    """The first look that saw so many records."""
    return next(look for look in looks if look[1] >= records)


def rate(looks: list[Look], first: int, last: int) -> float:
    """Records a second between two of them."""
    (start, low, _), (end, high, _) = when(looks, first), when(looks, last)
    return (high - low) / (end - start)


@pytest.mark.parametrize("trials", [10_000])
def test_many_short_trials(trials, tmp_path, request):
    if not request.config.getoption("--scale"):
        pytest.skip("takes minutes: ask for it with --scale")
    alone = watched(study(tmp_path, trials // PART), "--in-process")
    ideal = (os.cpu_count() or 1) * rate(alone, 1, trials // PART)
    looks = watched(study(tmp_path, trials))
    part = trials // PART
    begun, ended = when(looks, part), when(looks, trials)
    growth = (ended[2] - begun[2]) / (trials - part)
    whole = rate(looks, 1, trials)
    print(
        f"\nfirst record after {when(looks, 1)[0]:.1f} s; {whole:.1f} trials a second of {ideal:.1f}: "
        f"{ideal / whole:.2f} × the ideal's time; first tenth {rate(looks, 1, part):.1f}, last tenth "
        f"{rate(looks, trials - part, trials):.1f} a second; the driver {begun[2] / 1e6:.0f} MB after a tenth and "
        f"{growth / 1e3:.1f} MB more for every 1,000 trials"
    )
    records = Store(tmp_path / "results" / f"many{trials}").load()
    assert [r.status for r in records] == trials * ["ok"]
    assert growth <= 10_000  # bytes a trial

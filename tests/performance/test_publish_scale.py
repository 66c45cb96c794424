"""A hundred thousand records: `status`, `run` with nothing to do, and the page.

Run with: pytest tests/performance/test_publish_scale.py --scale --capture no. Times and peak memory are of the whole
command in a process of its own; opening, until the load event, in Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.support.made_study import made_results

CHROMIUM = shutil.which("chromium")
COMMAND = "import sys; from benchmark.cli.main import main; sys.argv[0] = 'deadweight'; main()"


@pytest.fixture(scope="module")
def made(tmp_path_factory, request):
    """The file of a study and the folder of its results."""
    if not request.config.getoption("--scale"):
        pytest.skip("takes minutes: ask for it with --scale")
    return made_results(tmp_path_factory.mktemp("scale"), tasks=5, methods=26, points=80, seeds=10)


def measured(*arguments, code=COMMAND):
    """The exit code of a command, or of other code, its seconds on the clock and of processors, and its peak bytes."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started, usage.ru_utime + usage.ru_stime
    return os.waitstatus_to_exitcode(status), *seconds, 1024 * usage.ru_maxrss


@pytest.fixture(scope="module")
def published(made):
    """The folder of a site, with the seconds and the peak bytes that it took."""
    path, results = made
    code, seconds, _, peak = measured("publish", path, "--results", results, "--out", path.parent / "site")
    assert code == 0
    return path.parent / "site", seconds, peak


def test_how_far_a_hundred_thousand_records_are_is_told(made):
    path, results = made
    failed = 1  # some of the records that were made up are of failures
    for code, *command in ([0, "status"], [0, "status"], [failed, "run", "--in-process"], [failed, "run"]):
        found, wall, cpu, peak = measured(command[0], path, "--results", results, *command[1:])
        assert found == code
        print(f"\n{' '.join(command)}: {wall:.1f} s, {cpu:.1f} s of processors, {peak / 2**30:.2f} GiB")
    print(f"\nimporting torch alone: {measured(code='import torch')[2]:.1f} s of processors")


def test_a_hundred_thousand_records_publish_in_a_minute(published):
    _, seconds, peak = published
    print(f"\n{seconds:.1f} s, {peak / 2**30:.2f} GiB")
    assert seconds <= 60
    assert peak <= 2 * 2**30


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)")
def test_their_page_opens_in_three_seconds(published):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        started = time.monotonic()
        page.goto((published[0] / "made" / "index.html").as_uri())
        page.wait_for_selector("#plot-pareto .main-svg")
        seconds = time.monotonic() - started
        assert "trials are drawn, chosen at random" in page.locator("#shown").inner_text()
        browser.close()
    print(f"\n{seconds:.1f} s")
    assert seconds <= 3

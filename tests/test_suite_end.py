"""The suite itself: interrupted, it ends with every process that its tests started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_for

TESTS = """
import asyncio, os, signal, subprocess, sys
import pytest

@pytest.mark.parametrize("number", range(4))
async def test_that_never_ends(number, tmp_path):
    # As the client does in a terminal, and as its engine starts a worker.
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, print)
    loop.add_signal_handler(signal.SIGHUP, print)
    endless = "import signal; signal.pause()"
    child = subprocess.Popen([sys.executable, "-c", endless], start_new_session=True)
    started = os.environ["STARTED"]
    open(os.path.join(started, f"{os.getpid()} {child.pid}"), "w").close()
    await asyncio.Event().wait()
"""


@pytest.mark.sampled(3)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("processes", [0, 2])
def test_a_signal_ends_all_of_it(processes: int, ending: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "test_endless.py").write_text(TESTS)
    running = max(1, processes)
    started = tmp_path / "started"
    started.mkdir()
    outside = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    suite = subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.suite_end", "-p", "no:cacheprovider"),
            *("-p", "pytest_asyncio.plugin", "-p", "xdist.plugin", "-o", "asyncio_mode=auto"),
            *("-c", os.devnull, "--rootdir", str(tmp_path)),
            *("-n", str(processes), str(tmp_path / "test_endless.py")),
        ],
        cwd=Path(__file__).parents[1],
        env={**outside, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "STARTED": str(started)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    pids: set[int] = set()
    try:
        wait_for(lambda: len(list(started.iterdir())) == running or suite.poll() is not None)
        pids = {int(pid) for file in started.iterdir() for pid in file.name.split()}
        assert len(pids) == 2 * running
        suite.send_signal(ending)
        output, _ = suite.communicate()
        assert suite.returncode == pytest.ExitCode.INTERRUPTED, output
        wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    finally:
        suite.kill()
        suite.wait()
        for pid in pids:  # after a failure only
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

"""Signals end an installation and all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from build_llama.running import run
from tests.conftest import wait_for
from tests.processes import is_running

ROOT = Path(__file__).resolve().parents[2]

DRIVER = """\
import sys
from pathlib import Path
from build_llama.__main__ import main
from build_llama.installation import Programs

folder = Path(sys.argv[1])
programs = Programs(
    pip=(sys.executable, str(folder / "pip.py")), python=(sys.executable, "-c", "import nothing")
)
sys.exit(main(programs, folder))
"""
# As pip does: a process in its group, and as ninja does: one outside it that it ends itself.
PIP = """\
import os, signal, subprocess, sys
from pathlib import Path

if sys.argv[1:] == ["cache", "dir"]:
    sys.exit(1)
folder = Path(__file__).parent
forever = [sys.executable, "-c", "import signal; signal.pause()"]
inside = subprocess.Popen(forever)
outside = subprocess.Popen(forever, process_group=0)
pids = folder / "pids.new"
pids.write_text(f"{os.getpid()} {inside.pid} {outside.pid}")
pids.rename(folder / "pids")
try:
    inside.wait()
finally:
    outside.kill()
    outside.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "pip.py").write_text(PIP)
    installation = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((tmp_path / "pids").exists)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(map(is_running, pids))
    installation.send_signal(number)
    _, said = installation.communicate(timeout=60)
    assert installation.returncode == 128 + number
    assert said == f"\nStopped by {number.name}.\n"
    wait_for(lambda: not any(map(is_running, pids)))


def test_lines_come_as_they_are_printed_and_the_exit_code_at_the_end() -> None:
    lines: list[str] = []
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    code = run([sys.executable, "-u", "-c", program], os.environ, lines.append, lambda: None)
    assert code == 3
    assert lines == ["out\n", "err\n"]


def test_an_error_of_the_reader_ends_the_command() -> None:
    pids: list[int] = []

    def fail(line: str) -> None:
        pids.append(int(line))
        raise OSError("the disk is full")

    program = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    with pytest.raises(OSError, match="the disk is full"):
        run([sys.executable, "-c", program], os.environ, fail, lambda: None)
    assert not is_running(pids[0])

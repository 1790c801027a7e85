"""``baize-tui bench`` with the real model: its figures, and that nothing of a run stays."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from baize_tui.engine.client.attention_choice import VARIABLE as ATTENTION
from baize_tui.paths import Paths
from build_llama.installation import pinned_version
from tests.cli.test_commands import one_line, run
from tests.conftest import wait_for
from tests.engine.model_files import broken_files
from tests.sweeps import swept
from tests.terminal.pty_session import PtySession
from tests.warm_start import PROGRAMS

MARK = "BAIZE_TEST_RUN"
"""An environment variable, by which processes of a run are recognized."""
CTRL_C = "\x03"
MOMENTS = ("llama.cpp alone", "one core busy, 1 thread", "the screen, 1 thread")


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    return f"{MARK}={value}"


def processes(mark: str) -> list[int]:
    """The running processes of this test, without that of the test itself."""
    return [pid for pid in _all_processes() if pid != os.getpid() and _has(pid, mark)]


def _all_processes() -> Iterator[int]:
    return (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))


def _has(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended, or is another user's
        return False


def assert_nothing_stays(paths: Paths, *, temporary: bool = False) -> None:
    """No conversation, state, setting or temporary file is left."""
    files = {file for file in paths.config.parent.rglob("*") if file.is_file()}
    if temporary:
        files = {file for file in files if not file.is_relative_to(paths.cache)}
    assert files <= {paths.worker_log}
    assert temporary or list(paths.cache.glob("*")) == []


def use_cores(count: int) -> None:
    """Run this process on ``count`` cores, where the system can do that."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


@pytest.mark.parametrize("cores", swept([1, os.cpu_count() or 1], 1))
def test_a_quick_run(
    cores: int, monkeypatch: pytest.MonkeyPatch, shallow_smollm2: Path, paths: Paths, mark: str
) -> None:
    """On one core, fewer numbers of threads are measured, and none of them waits for another."""
    monkeypatch.delenv(ATTENTION)  # so that the trial runs: not even its result stays
    bench = ("bench", "--quick", "--model", str(shallow_smollm2), "--json")
    done = PROGRAMS.run("baize_tui", bench, os.environ, prepare=partial(use_cores, cores))
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["rounds"] == 1
    assert figures["versions"]["llama-cpp-python"] == pinned_version()
    assert figures["machine"]["processor"]
    assert figures["model"]["name"] == "shallow"
    assert figures["model"]["profile"] == "full"
    assert_speeds(figures["idle"], figures["one_core_busy"])
    assert_first_tokens(figures["first_token"])
    lookup = figures["prompt_lookup"]
    assert lookup["gain"] == pytest.approx(lookup["on"][0] / lookup["off"][0])
    sizes = figures["kv_bytes_of_1000_tokens"]
    assert 0.5 < sizes["q8_0"] / sizes["f16"] < 0.6
    assert 0.9 < sizes["saved"] / sizes["f16"] < 1.2
    assert_nothing_stays(paths)
    assert processes(mark) == []


def assert_speeds(idle: list[dict[str, Any]], busy: list[dict[str, Any]]) -> None:
    *fixed, chosen = [count["threads"] for count in idle]
    assert (fixed[0], chosen) == (1, 0)
    assert [count["threads"] for count in busy] == [*fixed, chosen]
    for count in (*idle, *busy):
        assert len(count["bare_loop"]) == (1 if count["threads"] else 0)
        assert len(count["screen"]) == (0 if count in busy[:-1] else 1)
    # On a busy machine, some numbers of threads are too slow for more than llama.cpp alone.
    measured = [count for count in idle if count["screen"][0] is not None]
    assert idle[-1] in measured
    assert len(measured) > 1
    for count in measured:
        for layer in ("engine", "worker", "screen"):
            (speed,) = count[layer]
            assert speed["threads"] == count["threads"] or not count["threads"]
            assert_plausible(speed, count["ratios"], layer)
    for layer in ("worker", "screen"):
        (speed,) = busy[-1][layer]
        assert_plausible(speed, busy[-1]["ratios"], layer)


def assert_plausible(speed: dict[str, Any], ratios: dict[str, Any], layer: str) -> None:
    for work in ("reading", "writing"):
        assert speed[work] > 0
        assert 0 < ratios[work][layer] < 20


def assert_first_tokens(first: dict[str, Any]) -> None:
    assert first["history_tokens"] > 100
    # What was in the cache, or on disk, was not read again.
    assert first["history_tokens"] < first["restored_tokens"] <= first["snapshot_tokens"]
    assert all(first[name][0] > 0 for name in ("cold", "warm", "restored"))
    assert first["speedup"]["restored"] == pytest.approx(first["cold"][0] / first["restored"][0])


@pytest.mark.sweep  # test_bench_output.py draws the table of many figures
def test_the_table_fits_into_a_terminal(smollm2: Path, paths: Paths, tmp_path: Path) -> None:
    paths.cache.parent.mkdir()
    paths.cache.touch()  # no cache can be made: the run takes the folder for temporary files
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = run("bench", "--quick", "--model", str(smollm2), TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert max(len(line) for line in lines if not line.startswith("machine ")) <= 80
    shown = "\n".join(lines)
    assert "SmolLM2-135M-Instruct.Q4_1: llama" in shown
    assert re.search(r"  chosen: \d+( +\d+\.\d\d){3}", shown)
    assert re.search(r"restored: the same after a restart +\d+ ms +[\d.]+", shown)
    assert "KV cache" in shown
    progress = done.stderr.decode().splitlines()
    assert all(re.match("baize-tui: .* [━╌]+ [0-9]+%", line) for line in progress)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("moment", swept(MOMENTS, MOMENTS[0]))
def test_ctrl_c_ends_at_once_and_leaves_nothing(
    moment: str, shallow_smollm2: Path, paths: Paths, mark: str
) -> None:
    with PtySession("bench", "--quick", "--model", str(shallow_smollm2)) as command:
        command.wait_for(moment)
        command.type(CTRL_C)
        assert command.wait_for_end() == 130
    assert b"Traceback" not in command.written
    wait_for(lambda: processes(mark) == [])
    assert_nothing_stays(paths)


@pytest.mark.parametrize("number", swept([signal.SIGTERM, signal.SIGKILL], signal.SIGKILL))
def test_no_process_outlives_a_run_that_is_ended(
    number: signal.Signals, shallow_smollm2: Path, paths: Paths, mark: str
) -> None:
    with PtySession("bench", "--quick", "--model", str(shallow_smollm2)) as command:
        command.wait_for("one core busy")
        wait_for(lambda: len(processes(mark)) >= 3)  # the command, the model and the busy process
        command.kill(number)
        ended = command.wait_for_end()
    assert ended == (-number if number == signal.SIGKILL else 128 + number)
    wait_for(lambda: processes(mark) == [])
    assert_nothing_stays(paths, temporary=number == signal.SIGKILL)


def test_a_model_that_is_not_there_is_one_line(paths: Paths) -> None:
    assert "no model is called 'nope'" in one_line(run("bench", "--model", "nope"))
    assert_nothing_stays(paths)


def test_a_model_that_does_not_load_is_one_line(
    shallow_smollm2: Path, tmp_path: Path, paths: Paths
) -> None:
    (broken, _), *_ = broken_files(tmp_path / "broken", shallow_smollm2).values()
    assert broken.name in one_line(run("bench", "--model", str(broken)))
    assert_nothing_stays(paths)

"""The client ends when its terminal does or when it is told to, whatever hangs, and saves first."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.records import Message
from benchmarks.closed_terminals import MOMENTS, run_case
from tests.conftest import PATIENCE_S, wait_for
from tests.processes import children_of, wait_until_gone
from tests.terminal.pty_session import CTRL_Q, ENTER, PtySession
from tests.terminal.test_real_model import count_words, loaded

LONG = "Write a very long story about a dragon and a knight."
CTRL_O = "\x0f"
STUCK = str(Path(__file__).with_name("stuck_client.py"))
SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}


@contextmanager
def streaming(paths: Paths, *program: str) -> Iterator[PtySession]:
    """A client in the middle of an answer."""
    chosen = program or (sys.executable, "-m", "baize_tui")
    with PtySession(program=chosen) as client:
        client.wait_for(loaded)
        client.type(LONG + ENTER)
        client.wait_for(lambda _: count_words(paths) > 3)
        yield client


def end(client: PtySession, how: str) -> int:
    """Close the terminal or send a signal; the exit code."""
    if how == "terminal closed":
        client.close_terminal()
    else:
        client.kill(SIGNALS[how])
    return client.wait_for_end()


def last_message(paths: Paths) -> Message:
    store = Store(paths.conversations_file)
    message = store.shown_messages(store.conversations()[0].id)[-1]
    store.close()
    return message


@pytest.mark.parametrize("way", ["bug", "bug in a worker"])
def test_a_bug_is_one_line_and_its_traceback_is_in_the_log(
    way: str, paths: Paths, tmp_path: Path
) -> None:
    signal_file = tmp_path / "fail"
    signal_file.touch()
    with PtySession(program=(sys.executable, STUCK, way, str(signal_file))) as client:
        assert client.wait_for_end() == 1
        shown = client.written.decode("utf-8", "replace")
    log = paths.logs / "baize-tui.log"
    assert "unexpected error: RuntimeError: no such luck with 14 letters" in shown
    assert "Traceback" not in shown
    assert "a private text" not in shown
    logged = log.read_text()
    assert "Traceback" in logged
    assert "in fail\n" in logged


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("way", "how", "code"),
    [
        ("endless loop", "terminal closed", 129),
        ("lock", "SIGHUP", 129),
        ("regular expression", "SIGTERM", 143),
        ("dead writer", "terminal closed", 129),
    ],
)
def test_the_client_saves_and_ends_whatever_its_main_thread_does(
    way: str, how: str, code: int, paths: Paths, tmp_path: Path
) -> None:
    signal_file = tmp_path / "hang"
    with streaming(paths, sys.executable, STUCK, way, str(signal_file)) as client:
        processes = [client.pid, *children_of(client.pid)]
        signal_file.touch()
        wait_for(lambda: not signal_file.exists())  # it hangs
        assert end(client, how) == code
        wait_until_gone(processes)
    kept = last_message(paths)
    assert kept.state == "stopped"
    assert kept.ids


@pytest.mark.sampled(1)
@pytest.mark.parametrize("how", ["terminal closed", "SIGTERM", "quit"])
def test_an_unresponsive_worker_is_ended(how: str, paths: Paths) -> None:
    with streaming(paths) as client:
        processes = [client.pid, *children_of(client.pid)]
        (worker,) = processes[1:]
        os.kill(worker, signal.SIGSTOP)
        try:
            if how == "quit":
                client.type(CTRL_Q)
                assert client.wait_for_end() == 0
            else:
                assert end(client, how) == (0 if how == "SIGTERM" else 129)
            wait_until_gone(processes)
        finally:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)  # it sees that its client is gone
    assert last_message(paths).state == "stopped"


def test_a_store_locked_by_another_process_does_not_delay_the_exit(paths: Paths) -> None:
    with streaming(paths) as client:
        processes = [client.pid, *children_of(client.pid)]
        lock = sqlite3.connect(paths.conversations_file, isolation_level=None, timeout=PATIENCE_S)
        lock.execute("BEGIN IMMEDIATE")
        assert end(client, "SIGTERM") == 128 + signal.SIGTERM
        wait_until_gone(processes)
        lock.close()
    kept = last_message(paths)
    assert kept.state == "interrupted"
    assert kept.text


def test_the_terminal_is_restored() -> None:
    with PtySession() as client:
        before = client.attributes
        client.wait_for(loaded)
        assert client.attributes != before
        assert end(client, "SIGTERM") == 0
        assert client.written.rindex(b"\x1b[?1049l") > client.written.rindex(b"\x1b[?1049h")
        assert client.written.rindex(b"\x1b[?25h") > client.written.rindex(b"\x1b[?25l")


def test_a_hung_client_restores_the_terminal(tmp_path: Path) -> None:
    signal_file = tmp_path / "hang"
    shell = ["bash", "--norc", "--noprofile", "-i"]
    with PtySession(program=shell, environment={"PS1": "shell> "}) as session:
        session.wait_for("shell>")
        before = session.attributes
        session.type(f"{sys.executable} {STUCK} 'endless loop' {signal_file}{ENTER}")
        session.wait_for(loaded)
        (client,) = children_of(session.pid)
        signal_file.touch()
        wait_for(lambda: not signal_file.exists())
        os.kill(client, signal.SIGTERM)
        wait_until_gone([client])
        session.type(f"echo code $?{ENTER}")
        session.wait_for("code 143")
        # At its prompt, the shell changes the settings that it finds: they are the same as before
        # only if the client restored them.
        assert session.attributes == before
        assert session.written.rindex(b"\x1b[?1049l") > session.written.rindex(b"\x1b[?1049h")
        session.type(f"exit{ENTER}")
        session.wait_for_end()


def test_a_thread_that_waits_forever_does_not_delay_quitting(tmp_path: Path) -> None:
    """Like a request that the hub does not answer."""
    signal_file = tmp_path / "hang"
    with PtySession(program=[sys.executable, STUCK, "thread", str(signal_file)]) as client:
        client.wait_for(loaded)
        signal_file.touch()
        wait_for(lambda: not signal_file.exists())
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0


def test_an_editor_is_not_left_behind(paths: Paths) -> None:
    with PtySession(environment={"VISUAL": "tail -f"}) as client:
        client.wait_for(loaded)
        before = set(children_of(client.pid))
        client.type(CTRL_O)
        wait_for(lambda: len(children_of(client.pid)) > len(before))
        processes = [client.pid, *children_of(client.pid)]
        assert end(client, "SIGTERM") == 143
        wait_until_gone(processes)


@pytest.mark.parametrize(("how", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_ask_saves_what_it_printed(how: str, code: int, paths: Paths) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "baize_tui", "ask", LONG],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdout is not None
    said = process.stdout.read(12)
    workers = children_of(process.pid)
    process.send_signal(SIGNALS[how])
    said += process.communicate()[0]
    assert process.returncode == code
    wait_until_gone(workers)
    kept = last_message(paths)
    assert kept.state == "stopped"
    assert kept.text.strip().startswith(said.decode(errors="ignore").strip())


def test_ask_ends_with_its_terminal(paths: Paths) -> None:
    with PtySession("ask", LONG) as command:
        command.wait_for(lambda screen: len(screen.split()) > 8)
        command.wait_for(lambda _: count_words(paths) > 3)
        processes = [command.pid, *children_of(command.pid)]
        assert end(command, "terminal closed") == 129
        wait_until_gone(processes)
    assert last_message(paths).state == "stopped"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("number", range(0, len(MOMENTS), 2))
def test_terminals_closed_at_random_moments(number: int) -> None:
    """More of them: benchmarks/closed_terminals.py."""
    assert run_case(number, PATIENCE_S).failures == []

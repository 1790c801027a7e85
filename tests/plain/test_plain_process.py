"""The plain client as a process: in pipes, in simple terminals, stopped and ended."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.sweeps import swept
from tests.terminal.pty_session import PtySession

CTRL_C, CTRL_D = "\x03", "\x04"
ESCAPES = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def test_a_script_can_hold_a_conversation(paths: Paths) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "baize_tui", "--plain"],
        input=b"What is the capital of France?\n/again\n/quit\n",
        capture_output=True,
        check=True,
    )
    assert b"1 You: What is the capital of France?\n1 smollm2-135m: " in done.stdout
    assert not ESCAPES.search(done.stdout)
    assert done.stderr == b""
    store = Store(paths.conversations_file)
    (conversation,) = store.conversations()
    assert len(store.all_messages(conversation.id)) == 3


@pytest.mark.parametrize("term", swept(["dumb", "unknown"], "dumb"))
def test_a_terminal_that_cannot_move_the_cursor_gets_lines(term: str, paths: Paths) -> None:
    with PtySession(environment={"TERM": term}) as session:
        session.wait_for("smollm2-135m answers.")
        session.wait_for("1 You:")
        session.type("Write a very long story about a dragon and a knight.\n")
        session.wait_for("1 smollm2-135m:")
        session.type(CTRL_C)
        session.wait_for("stopped. /go-on continues it")
        session.type(CTRL_C)
        session.wait_for("(Ctrl-D or /quit quits)")
        session.type(CTRL_D)
        assert session.wait_for_end() == 0
        assert not ESCAPES.search(session.written)
    store = Store(paths.conversations_file)
    assert store.shown_messages(store.conversations()[0].id)[-1].state == "stopped"


def test_a_capable_terminal_gets_lines_if_asked(paths: Paths) -> None:
    with PtySession("--plain") as session:
        session.wait_for("1 You:")
        session.type("/quit\n")
        assert session.wait_for_end() == 0
        assert b"\x1b[" not in session.written


def test_a_missing_model_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "baize_tui", "--plain", "--model", "nosuch"],
        input=b"",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"nosuch" in done.stderr

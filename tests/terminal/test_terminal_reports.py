"""The title of the window, notifications, and the clipboard, in a real terminal and in tmux."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from baize_tui.app.services.terminal_notices import (
    notice_kind,
    notice_sequence,
    window_title,
)
from baize_tui.paths import Paths
from tests.conftest import wait_for
from tests.terminal.conftest import write_settings
from tests.terminal.pty_session import CTRL_Q, ENTER, PtySession, has_answered
from tests.terminal.terminal_bytes import assert_harmless, hostile
from tests.terminal.test_real_model import last_text

FOCUS_OUT, ALT_SHIFT_V = "\x1b[O", "\x1bV"
SAVE_TITLE, TAKE_BACK = b"\x1b[22;2t", b"\x1b[23;2t"
PARIS = "What is the capital of France?"
NOTICE = b"\x1b]9;Baize: "


@pytest.fixture
def short_answers(paths: Paths, shallow_smollm2: Path) -> None:
    terminal = '[terminal]\nnotify = "osc9"\nnotify_after_s = 0.0\n'
    further = f'{terminal}[idle]\nwork = "never"\n'
    write_settings(paths, shallow_smollm2, max_tokens=8, further=further)


@pytest.fixture
def session(short_answers: None) -> Iterator[PtySession]:
    with PtySession(columns=140) as session:
        session.wait_for("moderated")
        yield session


def ask(session: PtySession) -> None:
    session.type(PARIS)
    session.wait_for(PARIS)
    session.type(ENTER)
    session.wait_for(has_answered)


def test_the_window_has_the_title_of_the_conversation_until_the_end(session: PtySession) -> None:
    assert session.written.count(SAVE_TITLE) == 1
    assert b"\x1b]2;Baize\x1b\\" in session.written
    ask(session)
    wait_for(lambda: session.screen and f"\x1b]2;{PARIS} · Baize".encode() in session.written)
    session.type(CTRL_Q)
    assert session.wait_for_end() == 0
    assert session.written.count(SAVE_TITLE) == session.written.count(TAKE_BACK) == 1
    assert_harmless(session.written)


def test_a_client_that_is_ended_gives_the_title_back(session: PtySession) -> None:
    session.kill(signal.SIGTERM)
    assert session.wait_for_end() == 0
    assert session.written.count(TAKE_BACK) == 1


def test_an_answer_that_ends_unseen_is_notified_and_one_in_sight_is_not(
    session: PtySession,
) -> None:
    ask(session)
    assert NOTICE not in session.written
    session.type(PARIS)
    session.wait_for(lambda screen: screen.count(PARIS) > 1)
    session.type(f"{ENTER}{FOCUS_OUT}")
    wait_for(lambda: session.screen and NOTICE in session.written)
    assert f"Baize: {PARIS}".encode() in session.written
    assert_harmless(session.written)


@pytest.mark.usefixtures("short_answers")
def test_an_answer_opens_in_the_pager(tmp_path: Path, paths: Paths) -> None:
    shown = tmp_path / "shown"
    pager = {"PAGER": f"sh -c 'cp \"$1\" {shown}; echo in the pager; read line' pager"}
    with PtySession(columns=140, environment=pager) as session:
        session.wait_for("moderated")
        ask(session)
        session.type(ALT_SHIFT_V)
        session.wait_for("in the pager")
        session.type(ENTER)
        session.wait_for(has_answered)
        assert last_text(paths).strip() in shown.read_text()
        assert not list(tmp_path.glob("baize-*"))


# --- what is sent to which terminal -------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, "osc9"),
        ({"KITTY_WINDOW_ID": "1", "TERM": "xterm-kitty"}, "osc9"),
        ({"TERM_PROGRAM": "WezTerm", "TMUX": "/tmp/tmux"}, "bell"),
        ({"VTE_VERSION": "7200"}, "osc777"),
        ({"TERM": "foot-extra"}, "osc777"),
        ({"TERM": "xterm-256color"}, "bell"),
        ({}, "bell"),
    ],
    ids=str,
)
def test_a_terminal_gets_what_it_is_known_for(environment: dict[str, str], kind: str) -> None:
    assert notice_kind("auto", environment) == kind
    assert notice_kind("off", environment) == "off"
    assert notice_kind("osc777", environment) == "osc777"


@pytest.mark.parametrize("kind", ["osc9", "osc777"])
def test_a_hostile_title_stays_text(kind: str) -> None:
    title = f"{hostile('Qtitle')};more"
    sequence = notice_sequence(kind, title)  # type: ignore[arg-type]
    assert_harmless(sequence.encode())
    assert sequence.count(";") == {"osc9": 1 + title[:100].count(";"), "osc777": 3}[kind]
    assert_harmless(f"\x1b]2;{window_title(title)}\x1b\\".encode())


# --- the clipboard ------------------------------------------------------------------------------

COPY = """
import sys
from baize_tui.app.services.clipboard import copy_to_system
print("copied" if copy_to_system("plum, ") else "no program")
"""


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_copy_in_tmux_reaches_the_terminal_around_it(tmp_path: Path) -> None:
    """In its default settings tmux drops the sequence that a program in it writes."""
    socket = str(tmp_path / "tmux")
    tmux = [shutil.which("tmux") or "", "-S", socket, "-f", os.devnull]
    command = [*tmux, "new-session", "sh"]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    with PtySession(*command[1:], program=command[:1], environment=environment) as session:
        session.wait_for("$" if os.getuid() else "#")
        (tmp_path / "copying.py").write_text(COPY)
        session.type(f"{sys.executable} {tmp_path / 'copying.py'}{ENTER}")
        session.wait_for("copied")
        wanted = b"\x1b]52;"
        wait_for(lambda: session.screen and wanted in session.written)
        text = session.written.split(wanted)[1].split(b";")[1].split(b"\x07")[0]
        assert base64.b64decode(text.split(b"\x1b")[0]) == b"plum, "
        subprocess.run([*tmux, "kill-server"], check=True)

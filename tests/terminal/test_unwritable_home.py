"""A home on a full disk, or on one that is read-only: everything that needs no writing works."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from baize_tui.paths import Paths, project_paths
from baize_tui.store.conversations import Store
from tests.terminal.pty_session import CTRL_Q, PtySession

LEFT = "\x1b[D"

_NAMESPACE = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
_MOUNT = (
    'mount -t tmpfs -o size=1m tmpfs "$0" && cp -a "$1"/. "$0" && {state} && shift && exec "$@"'
)
STATES = {
    "full": '{ dd if=/dev/zero of="$0/fill" bs=4096 2>/dev/null || true; }',
    "read-only": 'mount -o remount,ro "$0"',
}


def _can_mount(folder: str) -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = [*_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", folder]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _can_mount("/tmp"), reason="no file system can be mounted")


@pytest.fixture(params=STATES)
def state(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def session(paths: Paths) -> str:
    """The id of a conversation."""
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="", moderation=True, title="A kept title")
    store.add_message(conversation.id, None, "user", "A kept question")
    store.close()
    return conversation.id


def leave_changes_in_the_log(session: str, paths: Paths) -> None:
    """Change the title as a client does that is killed afterwards."""
    store = Store(paths.conversations_file)
    store.rename(session, "A late title")
    copy = paths.data.with_name("copy")
    shutil.copytree(paths.data, copy, ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    shutil.rmtree(paths.data)
    copy.rename(paths.data)


def inside(state: str, home: Path, program: list[str]) -> list[str]:
    """How to run ``program`` where a copy of ``home`` in that state has its place."""
    source = home.with_name("source")
    home.rename(source)
    home.mkdir(exist_ok=True)
    mount = _MOUNT.replace("{state}", STATES[state])
    return [*_NAMESPACE, "sh", "-c", mount, str(home), str(source), *program]


def run(state: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = inside(state, home, [sys.executable, "-m", "baize_tui", *arguments])
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_conversations_can_be_read(state: str, session: str, home: Path) -> None:
    done = run(state, home, "sessions", "show", session)
    assert (done.returncode, done.stderr) == (0, "")
    assert "A kept title" in done.stdout
    assert "A kept question" in done.stdout


def test_the_last_changes_of_a_killed_client_can_be_read(
    state: str, session: str, home: Path, paths: Paths
) -> None:
    leave_changes_in_the_log(session, paths)
    done = run(state, home, "sessions", "show", session)
    assert (done.returncode, done.stderr) == (0, "")
    assert "A late title" in done.stdout


def test_a_change_says_why_it_is_not_possible(state: str, session: str, home: Path) -> None:
    done = run(state, home, "sessions", "rename", session, "Another title")
    assert done.returncode == 1
    reason = {"full": "no space left on the disk", "read-only": "ead-only"}[state]
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_ask_answers_if_nothing_is_saved(state: str, session: str, home: Path) -> None:
    question = ("ask", "What is the capital of France?", "--regex", "Paris", "--no-save")
    done = run(state, home, *question)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Paris\n"


def test_ask_says_at_once_that_it_cannot_save(state: str, session: str, home: Path) -> None:
    done = run(state, home, "ask", "Hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("; --no-save answers without saving\n")


def test_the_client_opens(state: str, session: str, home: Path) -> None:
    program, *arguments = inside(
        state, home, [sys.executable, "-m", "baize_tui", "--session", session]
    )
    with PtySession(*arguments, program=[program], columns=120) as client:
        client.wait_for(lambda screen: "A kept question" in screen and "moderated" in screen)
        client.wait_for("nothing can be saved")
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    assert b"Traceback" not in client.written


def test_the_client_saves_once_the_disk_has_space(session: str, home: Path, paths: Paths) -> None:
    """Its first words are written to the disk without a restart, and the problem ends."""
    program, *arguments = inside(
        "full", home, [sys.executable, "-m", "baize_tui", "--session", session]
    )
    with PtySession(*arguments, program=[program], columns=120) as client:
        client.wait_for(lambda screen: "A kept question" in screen and "moderated" in screen)
        client.type("my words")
        client.wait_for("the draft is not saved yet")
        inside_it = f"/proc/{client.pid}/root"
        Path(f"{inside_it}{home}/fill").unlink()
        client.wait_for("the draft is saved")
        # SQLite opens no file that is mounted for another process only.
        copy = shutil.copytree(f"{inside_it}{paths.data}", home.with_name("copy"))
        with contextlib.closing(sqlite3.connect(copy / paths.conversations_file.name)) as file:
            (parts,) = file.execute("SELECT parts FROM unsent").fetchone()
        assert "my words" in parts
        client.type(LEFT)
        client.wait_for(lambda screen: "the draft is saved" not in screen)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0


def test_an_empty_home_is_no_error(state: str, home: Path) -> None:
    home.mkdir(exist_ok=True)
    done = run(state, home, "sessions", "list")
    assert (done.returncode, done.stderr) == (0, "baize-tui: no conversations yet\n")


def test_a_locked_file_is_called_locked(session: str, home: Path) -> None:
    with sqlite3.connect(project_paths().conversations_file) as other:
        other.execute("BEGIN EXCLUSIVE")
        command = [sys.executable, "-m", "baize_tui", "sessions"]
        renamed = subprocess.run(
            [*command, "rename", session, "x"], capture_output=True, text=True, check=False
        )
        listed = subprocess.run(
            [*command, "show", session], capture_output=True, text=True, check=False
        )
    assert renamed.returncode == 1
    assert "another program is writing to it" in renamed.stderr
    assert "A kept question" in listed.stdout

"""Unsent words survive a killed client and a closed terminal."""

from __future__ import annotations

import sqlite3

import pytest

from baize_tui.paths import Paths
from tests.conftest import wait_for
from tests.processes import children_of, wait_until_gone
from tests.terminal.pty_session import (
    CTRL_N,
    CTRL_Q,
    ENTER,
    ESCAPE,
    PtySession,
    has_answered,
)
from tests.terminal.test_real_model import loaded

LOG = "\n".join(f"line {number}" for number in range(61))
PASTE = f"\x1b[200~{LOG}\x1b[201~"
LONG = "Write a very long story about a dragon and a knight."
ALT_E, ALT_Q = "\x1be", "\x1bq"


def unsent(paths: Paths) -> list[tuple[str, str]]:
    """The kinds of unsent words in the store, and the words."""
    connection = sqlite3.connect(paths.conversations_file)
    try:
        return connection.execute("SELECT kind, parts FROM unsent ORDER BY updated_at").fetchall()
    finally:
        connection.close()


def stored(paths: Paths, *words: str) -> bool:
    found = unsent(paths)
    return all(any(word in parts for _, parts in found) for word in words)


def end(client: PtySession, how: str) -> None:
    processes = [client.pid, *children_of(client.pid)]
    if how == "quit":
        client.type(CTRL_Q)
    elif how == "terminal closed":
        client.close_terminal()
    else:
        client.kill()
    client.wait_for_end()
    wait_until_gone(processes)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("how", ["kill -9", "terminal closed", "quit"])
def test_drafts_of_two_conversations_survive(how: str, paths: Paths) -> None:
    with PtySession() as client:
        client.wait_for(loaded)
        client.type("Hi" + ENTER)
        client.wait_for("answering")
        client.type(ESCAPE)
        # An answer of one token, on a busy machine, has no speed.
        client.wait_for(lambda screen: "stopped" in screen or has_answered(screen))
        client.type("the first draft " + PASTE)
        client.wait_for("[paste 1: 61 lines]")
        client.type(CTRL_N)
        client.wait_for("Ask something")
        client.type("the second draft")
        if how == "kill -9":
            wait_for(lambda: stored(paths, "the first draft", "the second draft"))
        else:
            client.wait_for("the second draft")
        end(client, how)
    with PtySession() as client:
        client.wait_for("the second draft")
        end(client, "kill -9")
    with PtySession("--continue") as client:
        client.wait_for("the first draft [paste 1: 61 lines]")
        client.wait_for(loaded)
        client.type(ENTER)
        client.wait_for(lambda screen: "line 60" in screen and "Ask something" in screen)
        wait_for(lambda: not stored(paths, "the first draft"))
        end(client, "kill -9")


def test_the_queue_and_an_edit_survive_a_kill(paths: Paths) -> None:
    with PtySession() as client:
        client.wait_for(loaded)
        client.type(LONG + ENTER)
        client.wait_for("answering")
        client.type("the next question" + ENTER)
        client.wait_for("↳ the next question")
        client.type("one more" + ENTER)
        client.wait_for("↳ one more")
        client.type(ESCAPE)
        client.wait_for("enter sends")
        client.type(ALT_E + " Be brief.")
        wait_for(lambda: stored(paths, "Be brief."))
        end(client, "kill -9")
    with PtySession("--continue") as client:
        client.wait_for("↳ the next question")
        screen = client.wait_for("Be brief.")
        assert "↳ one more" in screen
        client.type(ESCAPE)
        client.wait_for("Ask something")
        client.type(ENTER)
        client.wait_for(lambda screen: "↳ the next question" not in screen)
        client.wait_for("▌ the next question")
        assert "↳ one more" in client.screen
        client.type(ALT_Q)
        client.wait_for(lambda screen: "↳" not in screen)
        wait_for(
            lambda: [kind for kind, parts in unsent(paths) if "one more" in parts] == ["draft"]
        )
        end(client, "kill -9")
    assert stored(paths, "Be brief.", "one more")


def test_two_clients_keep_their_drafts_apart(paths: Paths) -> None:
    with PtySession() as first, PtySession() as second:
        for client in (first, second):
            client.wait_for("Ask something")
        first.type("of the first")
        second.type("of the second")
        wait_for(lambda: stored(paths, "of the first", "of the second"))
        assert "of the second" not in first.screen
        end(first, "kill -9")
        end(second, "quit")
    with PtySession() as client:
        screen = client.wait_for("of the second")
        assert "of the first" in screen
        end(client, "kill -9")

"""The client in a pseudo-terminal, by keys alone; with the real model where sense matters."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from typing import Any

import pytest

from baize_tui.engine.crash_switch import VARIABLE
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.processes import children_of, wait_until_gone
from tests.sweeps import swept
from tests.terminal.pty_session import (
    CTRL_B,
    CTRL_G,
    CTRL_Q,
    DOWN,
    ENTER,
    ESCAPE,
    PtySession,
    has_answered,
)

READY = "moderated"


def provenances(paths: Paths) -> list[dict[str, Any]]:
    """How each answer of the only conversation was made."""
    store = Store(paths.conversations_file)
    (conversation,) = store.conversations()
    made = [message.provenance for message in store.shown_messages(conversation.id)]
    store.close()
    return [provenance for provenance in made if provenance is not None]


def title_by_the_model(client: PtySession, paths: Paths) -> str:
    """The title of the only conversation, once the model has written it."""
    store = Store(paths.conversations_file)
    client.wait_for(lambda _: store.conversations()[0].title_source == "model")
    title = store.conversations()[0].title
    store.close()
    return title


def loaded(screen: str) -> bool:
    return READY in screen and "loading" not in screen


@pytest.mark.usefixtures("makes_sense")
def test_ask_quit_restart_and_continue(paths: Paths) -> None:
    with PtySession() as client:
        client.wait_for(loaded)
        client.type("What is the capital of France?" + ENTER)
        client.wait_for("The capital of France is Paris.")
        client.wait_for(has_answered)
        title = title_by_the_model(client, paths)
        client.type("Is it a big city?" + ENTER)
        client.wait_for(lambda screen: "big city?" in screen and "answering" in screen)
        client.wait_for(has_answered)
        first, second = provenances(paths)
        told = first["prompt_tokens"] + first["completion_tokens"]
        # The markup before a question may have been read ahead, too.
        assert told <= second["reused_tokens"] < second["prompt_tokens"]
        workers = children_of(client.pid)
        assert workers
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
        wait_until_gone(workers)
    with PtySession() as client:
        client.wait_for(loaded)
        assert title[:12] in client.screen
        assert "Is it a big city?" not in client.screen
        client.type(CTRL_B + DOWN + ENTER)
        client.wait_for("The capital of France is Paris.")
        client.type("Thank you. And of Italy?" + ENTER)
        client.wait_for(lambda screen: has_answered(screen) and "And of Italy?" in screen)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    with PtySession("--continue") as client:
        client.wait_for("And of Italy?")
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0


def test_escape_stops_an_answer_and_continuing_adds_text(paths: Paths) -> None:
    with PtySession() as client:
        client.wait_for(loaded)
        client.type("Write a very long story about a dragon and a knight." + ENTER)
        client.wait_for("answering")
        store = Store(paths.conversations_file)
        (conversation,) = store.conversations()
        client.wait_for(lambda _: len(store.shown_messages(conversation.id)[-1].ids or []) > 10)
        client.type(ESCAPE)
        client.wait_for("stopped")
        stopped = store.shown_messages(conversation.id)[-1]
        assert stopped.state == "stopped"
        assert stopped.ids
        client.type(CTRL_G)
        client.wait_for("answering")
        client.wait_for(
            lambda _: len(store.shown_messages(conversation.id)[-1].text) > len(stopped.text)
        )
        assert store.shown_messages(conversation.id)[-1].text.startswith(stopped.text)
        client.type(ESCAPE)
        client.wait_for("stopped")
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0


def test_the_answer_of_a_killed_worker_continues(paths: Paths) -> None:
    with PtySession() as client:
        client.wait_for(loaded)
        client.type("Write a very long story about a dragon and a knight." + ENTER)
        client.wait_for("answering")
        client.wait_for(lambda _: count_words(paths) > 3)
        (worker,) = children_of(client.pid)
        os.kill(worker, signal.SIGKILL)
        client.wait_for("SIGKILL")
        kept = last_text(paths)
        client.wait_for(lambda _: count_words(paths) > len(kept.split()) + 20)
        assert last_text(paths).startswith(kept)
        (another,) = children_of(client.pid)
        assert another != worker
        client.type(ESCAPE)
        client.wait_for("stopped")
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    (made,) = provenances(paths)
    assert made["profile"] == "no-extra-buffers"


@pytest.mark.usefixtures("makes_sense")
@pytest.mark.parametrize(
    "crash",
    [
        "SIGSEGV warming-up full",
        pytest.param("SIGILL prefilling full,no-extra-buffers", marks=pytest.mark.sweep),
        pytest.param("SIGABRT decoding full,no-extra-buffers", marks=pytest.mark.sweep),
        pytest.param("SIGKILL starting full", marks=pytest.mark.sweep),
    ],
)
def test_a_machine_that_crashes_llama_cpp_gets_an_answer_and_one_notice(
    crash: str, paths: Paths
) -> None:
    def shows_notice(screen: str) -> bool:
        return "without extra buffer" in screen

    # The next turn removes the notice.
    while_loading = crash.split()[1] in ("starting", "warming-up")
    with PtySession(environment={VARIABLE: crash}) as client:
        client.wait_for(shows_notice if while_loading else loaded)
        client.wait_for(loaded)
        client.type("What is the capital of France?" + ENTER)
        client.wait_for("The capital of France is Paris.")
        client.wait_for(lambda screen: while_loading or shows_notice(screen))
        client.wait_for(has_answered)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    with PtySession("--continue", environment={VARIABLE: crash}) as client:
        client.wait_for(loaded)
        client.wait_for("The capital of France is Paris.")
        assert not shows_notice(client.screen)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0


@pytest.mark.parametrize("way", ["terminal closed", "SIGTERM"])
def test_a_closed_terminal_saves_and_leaves_no_process(way: str, paths: Paths) -> None:
    with PtySession() as client:
        client.wait_for(loaded)
        client.type("Write a very long story about a dragon and a knight." + ENTER)
        client.wait_for(lambda _: count_words(paths) > 3)
        workers = children_of(client.pid)
        pids = [client.pid, *workers]
        if way == "SIGTERM":
            client.kill(signal.SIGTERM)
            assert client.wait_for_end() == 0
        else:
            client.close_terminal()
        wait_until_gone(pids)
    store = Store(paths.conversations_file)
    states = [message.state for message in store.shown_messages(store.conversations()[0].id)]
    assert states == ["complete", "stopped"]
    store.close()


@pytest.mark.usefixtures("makes_sense")
@pytest.mark.parametrize("moment", swept(range(20), 0, 1))
def test_kill_9_at_a_random_moment_loses_nothing(moment: int, paths: Paths) -> None:
    """At 20 moments of a streaming answer: the store opens clean, no worker is left, and what was
    on the screen before the last write is on disk."""
    word_count = random.Random(moment).randrange(1, 120)
    with PtySession("--continue") as client:
        client.wait_for(loaded)
        client.type("Write a very long story about a dragon and a knight." + ENTER)

        def words(_: str) -> bool:
            return count_words(paths) >= word_count

        client.wait_for(words)
        seen = words_of_answer(client.screen)
        # Long before the answer ends: at the end it would be complete, not interrupted.
        client.wait_for(lambda _: seen in " ".join(last_text(paths).split()))
        workers = children_of(client.pid)
        client.kill()
        assert client.wait_for_end() == -signal.SIGKILL
        wait_until_gone(workers)
    with sqlite3.connect(paths.conversations_file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    store = Store(paths.conversations_file)
    assert store.damaged_file is None
    messages = store.shown_messages(store.conversations()[0].id)
    assert [message.state for message in messages] == ["complete", "interrupted"]
    kept = messages[-1]
    assert seen in " ".join(kept.text.split())
    assert kept.ids
    store.close()


def words_of_answer(screen: str) -> str:
    """The last line of the answer that is on the screen, right of the list."""
    answer = screen.rpartition("knight.")[2].partition("Ask something")[0].splitlines()
    said = [line[28:].strip(" ▌▁▂▃▄▅▆▇█") for line in answer]
    return " ".join(next((line for line in reversed(said) if line), "").split())


def last_text(paths: Paths) -> str:
    with sqlite3.connect(f"file:{paths.conversations_file}?mode=ro", uri=True) as connection:
        row = connection.execute(
            "SELECT text FROM message WHERE role = 'assistant' ORDER BY id DESC LIMIT 1"
        ).fetchone()
    connection.close()
    return str(row[0]) if row else ""


def count_words(paths: Paths) -> int:
    return len(last_text(paths).split())

"""What only a terminal can show: suspending, sizes, few colours, and a tour by keys alone."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from baize_tui.paths import Paths
from baize_tui.settings import load_settings
from baize_tui.store.conversations import Store
from tests.sweeps import swept
from tests.terminal.pty_session import (
    ALTERNATE_SCREEN,
    CTRL_B,
    CTRL_G,
    CTRL_Q,
    ENTER,
    ESCAPE,
    PtySession,
    has_answered,
)

CTRL_Z = "\x1a"
CTRL_R = "\x12"
F1, F3, F4 = "\x1bOP", "\x1bOR", "\x1bOS"
TAB, UP = "\t", "\x1b[A"
ALT_LEFT, ALT_UP = "\x1b[1;3D", "\x1b[1;3A"
LONG = "Write a very long story about a dragon and a knight."


def alt(letter: str) -> str:
    return f"\x1b{letter}"


def at_rest(screen: str) -> bool:
    return "moderated" in screen and "loading" not in screen


def wider_than(columns: int) -> Callable[[str], bool]:
    return lambda screen: max(len(line) for line in screen.split("\n")) > columns


@pytest.mark.sampled(2)
@pytest.mark.parametrize("size", [(100, 30), (70, 20)], ids=["same size", "resized"])
@pytest.mark.parametrize("wrapper", ["{}", "sh -c '{}; true'"], ids=["alone", "in a wrapper"])
def test_suspending_and_resuming_loses_nothing(size: tuple[int, int], wrapper: str) -> None:
    """Under a shell, as only a job of a shell can be suspended."""
    shell = ["bash", "--norc", "--noprofile", "-i"]
    with PtySession(program=shell, environment={"PS1": "shell> "}) as session:
        session.wait_for("shell>")
        session.type(wrapper.format(f"{sys.executable} -m baize_tui") + ENTER)
        session.wait_for(at_rest)
        session.type("a draft")
        session.wait_for("a draft")
        session.type(CTRL_Z)
        session.wait_for(lambda screen: "Stopped" in screen or "suspended" in screen)
        session.type(f"echo still $((40 + 2)){ENTER}")
        session.wait_for("still 42")
        session.resize(*size)
        session.type(f"fg{ENTER}")
        session.wait_for(lambda screen: "a draft" in screen and at_rest(screen))
        assert "still 42" not in session.screen
        assert "Type below and press" in session.screen
        session.type(" goes on")
        session.wait_for("a draft goes on")
        session.type(CTRL_Q)
        session.wait_for(lambda _: session.written.rstrip().endswith(b"shell>"))
        session.type(f"exit{ENTER}")
        session.wait_for_end()


@pytest.mark.parametrize("how", ["ctrl+z without a shell", "kill -STOP"])
def test_a_client_that_was_stopped_draws_everything_again(how: str) -> None:
    with PtySession() as client:
        client.wait_for(at_rest)
        client.type("a draft")
        client.wait_for("a draft")
        times = client.written.count(ALTERNATE_SCREEN)
        if how == "kill -STOP":
            client.kill(signal.SIGSTOP)
            client.kill(signal.SIGCONT)
        else:
            client.type(CTRL_Z)
        client.wait_for(lambda _: client.written.count(ALTERNATE_SCREEN) > times)
        client.wait_for(lambda screen: "a draft" in screen and at_rest(screen))
        client.type(" goes on")
        client.wait_for("a draft goes on")
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0


def test_a_client_that_moves_to_a_terminal_that_reports_no_sizes_fits_into_it() -> None:
    with PtySession() as client:
        client.wait_for(at_rest)
        client.type("\x1b[?2048;1$y")  # the first terminal reports its size by itself
        client.type("a draft")
        client.wait_for("a draft")
        client.resize(60, 20)
        client.wait_for(lambda screen: "a draft" in screen and not wider_than(60)(screen))
        client.resize(120, 30)
        client.wait_for(wider_than(100))
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0


def test_resizing_while_it_streams(paths: Paths) -> None:
    with PtySession() as client:
        client.wait_for(at_rest)
        client.type(LONG + ENTER)
        client.wait_for("answering")
        for columns, lines in ((50, 20), (140, 45), (24, 6), (80, 24)):
            client.resize(columns, lines)
            if columns == 24:
                client.wait_for("too small")
            else:
                client.wait_for(wider_than(columns // 2))
        client.type(ESCAPE)
        client.wait_for(lambda screen: "^g continues" in screen and has_answered(screen))
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0


@pytest.mark.usefixtures("makes_sense")
@pytest.mark.parametrize("theme", swept(["baize-dark", "baize-light"], "baize-light"))
def test_sixteen_colours_are_enough(theme: str, paths: Paths) -> None:
    with paths.settings_file.open("a") as settings:
        settings.write(f'[look]\ntheme = "{theme}"\n')
    few = {"TERM": "xterm-16color", "COLORTERM": ""}
    with PtySession(environment=few) as client:
        client.wait_for(at_rest)
        client.type("What is the capital of France?" + ENTER)
        client.wait_for(has_answered)
        client.type(ALT_UP)
        client.wait_for("█ The capital of France is Paris.")  # selected, also shown by its mark
        assert "▌ What is the capital of France?" in client.screen
        client.type(F1)
        client.wait_for(lambda screen: "Keys and commands" in screen and "╭" in screen)
        client.type(ESCAPE)
        client.wait_for(lambda screen: "╭" not in screen)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    assert not re.search(rb"\x1b\[[0-9;]*[34]8;[25];", client.written)


@pytest.mark.sweep
@pytest.mark.usefixtures("makes_sense")
def test_a_tour_of_the_client_by_keys_alone(paths: Paths, tmp_path: Path) -> None:
    with PtySession(columns=110, lines=36) as client:
        client.wait_for(at_rest)
        client.type(F1)
        client.wait_for("Keys and commands")
        client.type(ESCAPE)
        client.wait_for(lambda screen: "Keys and commands" not in screen)
        client.type(F4)
        client.wait_for("differs from the default")
        client.type(TAB * 17)
        client.wait_for("Randomness; 0 always")
        client.type("0.0" + ENTER)
        client.wait_for("Keep the k most likely")
        client.type(ESCAPE)
        client.wait_for(lambda screen: "differs from the default" not in screen)
        assert load_settings(paths.settings_file).sampling == {"seed": 1, "temperature": 0.0}
        client.type("What is the capital of France?")
        client.wait_for("with draft")
        client.type(ENTER)
        client.wait_for("The capital of France is Paris.")
        client.wait_for(has_answered)
        client.type(UP)
        client.wait_for("editing")
        client.type("\x7f" * len("France?") + "Italy?" + ENTER)
        client.wait_for("Rome")
        client.wait_for("2/2")
        client.type(ALT_LEFT)
        client.wait_for(lambda screen: "Paris" in screen and "1/2" in screen)
        client.type(alt("g"))
        client.wait_for("▲ good")
        client.type("/pin" + ENTER)
        client.wait_for("pinned")
        client.type(F3)
        client.wait_for("This conversation")
        client.type(TAB)
        client.wait_for("what the model is told before the first turn")
        client.type("Answer in one word. ")
        client.wait_for("Answer in one word. You are")
        client.type(ESCAPE)
        client.wait_for("Answer in one word. You are a helpful AI")
        client.type(CTRL_R)
        client.wait_for("2/2")
        client.wait_for(has_answered)
        client.type(LONG + ENTER)
        client.wait_for("answering")
        client.type(ESCAPE)
        client.wait_for("^g continues")
        client.type(CTRL_G)
        client.wait_for(lambda screen: "answering" in screen or has_answered(screen))
        client.type(ESCAPE)
        client.type(alt("t"))
        # Another text may replace this one soon.
        client.wait_for(lambda _: b"titled" in client.written or b"no title" in client.written)
        client.type(alt("d"))
        client.wait_for("deleted · ")
        client.type(alt("z"))
        client.wait_for(lambda screen: LONG in screen)
        client.type(CTRL_B + "\x1b[3~")
        client.wait_for("press delete again")
        client.type("\x1b[3~")
        client.wait_for("No conversations yet")
        client.type(alt("z"))
        client.wait_for(lambda screen: LONG in screen)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    store = Store(paths.conversations_file)
    (conversation,) = store.conversations()
    assert conversation.system.startswith("Answer in one word.")
    store.close()

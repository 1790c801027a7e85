"""The time from process start to the first frame, over that of an empty Textual app::

    python benchmarks/startup.py

The first frame of the client shows the list, the prompt and the status line, with no conversation
open. ``--continue``, with a conversation of 20 turns in Markdown, is measured separately. The empty
app shows one word. All run in turn, in a pseudo-terminal of 100 by 30. The ratios are medians.
"""

from __future__ import annotations

import compileall
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import baize_convert
import baize_shared
import baize_tui
from baize_tui.store.conversations import Store
from benchmarks.terminal import TimedTerminal

ROUNDS = 15
HIGHEST = 1.5
EMPTY_APP = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("EMPTY")
Empty().run()
"""
TITLE = "A talk to find"


def fill_store(home: str) -> None:
    """30 conversations in the list, the last with 20 turns."""
    store = Store(Path(home) / "data" / "conversations.db")
    for number in range(30):
        title = TITLE if number == 29 else f"Conversation {number}"
        conversation = store.new_conversation(system="", moderation=True, title=title)
    parent: int | None = None
    for number in range(20):
        parent = store.add_message(conversation.id, parent, "user", f"Question {number}?").id
        text = f"Answer {number} with **bold**, a list:\n\n- one\n- two\n\n```python\nx = 1\n```"
        parent = store.add_message(conversation.id, parent, "assistant", text).id
    store.close()


def first_frame(arguments: list[str], home: str, *wanted: bytes) -> float:
    terminal = TimedTerminal([sys.executable, *arguments], {"BAIZE_HOME": home})
    try:
        return terminal.seconds_until(*wanted)
    finally:
        terminal.end()


def main() -> int:
    # pip does this for installed packages such as textual. Some machines write no bytecode.
    for package in (baize_tui, baize_shared, baize_convert):
        compileall.compile_dir(Path(package.__file__ or "").parent, quiet=1)
    with tempfile.TemporaryDirectory() as home:
        fill_store(home)
        cases = {
            "empty": (["-c", EMPTY_APP], (b"EMPTY",)),
            "client": (["-m", "baize_tui"], (TITLE.encode(), b"sk something", b"quit")),
            "continue": (
                ["-m", "baize_tui", "--continue"],
                (TITLE.encode(), b"sk something", b"quit", b"Answer 19"),
            ),
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(ROUNDS + 1):
            for name, (arguments, wanted) in cases.items():
                seconds = first_frame(arguments, home, *wanted)
                if number:  # the first round warms up
                    times[name].append(seconds)
    median = {name: statistics.median(values) for name, values in times.items()}
    ratio = statistics.median(
        client / empty for client, empty in zip(times["client"], times["empty"], strict=True)
    )
    print(f"an empty Textual app {median['empty'] * 1000:4.0f} ms")
    print(
        f"the client           {median['client'] * 1000:4.0f} ms, ratio {ratio:.2f} "
        f"(median of {ROUNDS} rounds; at most {HIGHEST})"
    )
    print(
        f"with --continue      {median['continue'] * 1000:4.0f} ms, "
        f"ratio {median['continue'] / median['empty']:.2f}"
    )
    return 0 if ratio <= HIGHEST else 1


if __name__ == "__main__":
    sys.exit(main())

"""The client in a terminal whose size changes all the time while it answers."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from pathlib import Path

from baize_tui.store.conversations import Store
from tests.engine.remote.streaming_server import Handler, delta, end, serve
from tests.terminal.pty_session import CTRL_Q, PtySession

_PIECES = (
    "# A story\n\nThe **dragon** and the *knight* met ",
    "by the old river 白泽, and said nothing for a long while. " * 2,
    "\n\n- a first point that is long enough to wrap around a line\n- a second 🐉 point\n\n",
    "```python\ndef add(a: int, b: int) -> int:\n    return a + b  # as everyone does\n```\n\n",
    "| language | year |\n|---|---|\n| Python | 1991 |\n| Rust | 2015 |\n\n",
    "The end of a part.\n\n",
)
_QUIET_S = 1.0
"""The screen is complete when it has not changed for so long."""


def check_resizes(case: int, resizes: int) -> str | None:
    """Resize at random while an answer streams; what is wrong then, or None.

    Its screen must be what another client draws that starts with the last size.
    """
    chance = random.Random(case)
    columns, lines = chance.randint(60, 160), chance.randint(15, 50)
    sent = threading.Semaphore(len(_PIECES))

    def answer(handler: Handler) -> None:
        handler.head(200, "text/event-stream", None)
        for number in range(resizes):
            sent.acquire()  # a piece for each resize, which are less than an answer may have
            handler.event(delta(content=_PIECES[number % len(_PIECES)]))
        handler.event(delta(content="That was all."))
        handler.event(end("stop"))
        handler.write_chunk(b"data: [DONE]\n\n")
        handler.write_chunk(b"")

    with tempfile.TemporaryDirectory(prefix="resizes-") as folder, serve(answer) as server:
        environment = {"BAIZE_HOME": folder, "LANGUAGE": "en", "no_proxy": "*"}
        with PtySession("--model", server.spec, environment=environment) as client:
            client.wait_for("Ask something")
            client.type("Tell a story\r")
            client.wait_for("knight")
            for _ in range(resizes):
                client.resize(chance.randint(20, 200), chance.randint(5, 60))
                sent.release()
                _read_for(client, chance.choice((0.0, 0.0, 0.01, 0.05)))
            client.resize(columns, lines)
            client.wait_for("That was all.")
            shown = _complete_screen(client)
            client.type(CTRL_Q)
            if code := client.wait_for_end():
                return f"exit code {code}"
            if b"Traceback" in client.written:
                return "a traceback on the screen"
        store = Store(Path(folder) / "data" / "conversations.db")
        (conversation,) = store.conversations()
        saved = store.shown_messages(conversation.id)[-1]
        store.close()
        if saved.state != "complete" or not saved.text.endswith("That was all."):
            return f"the answer is {saved.state}"
        arguments = ("--model", server.spec, "--session", conversation.id)
        with PtySession(
            *arguments, environment=environment, columns=columns, lines=lines
        ) as client:
            client.wait_for("That was all.")
            fresh = _complete_screen(client)
    if shown != fresh:
        differing = [
            f"{number}: {one!r} {other!r}"
            for number, (one, other) in enumerate(zip(shown, fresh, strict=False))
            if one != other
        ]
        return f"at {columns} by {lines} lines differ: {'; '.join(differing[:3])}"
    return None


def _read_for(client: PtySession, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.read()


def _complete_screen(client: PtySession) -> list[str]:
    """The lines of the screen when they no longer change, without the status line, which says how
    the last answer was made."""
    before, lines = [""], client.screen.split("\n")[:-1]
    while before != lines:
        _read_for(client, _QUIET_S)
        before, lines = lines, client.screen.split("\n")[:-1]
    return lines

"""The client in a terminal of this program, which types a question and waits for the answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import sys
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from baize_shared.crash_log import HOME_VARIABLE
from baize_shared.sanitizer import clean_line
from baize_tui.bench.errors import BenchError
from baize_tui.bench.home import TemporaryHome
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.store_thread import open_store
from baize_tui.translation import tr

T = TypeVar("T")
_LINES, _COLUMNS = 30, 100
_ENVIRONMENT = {
    "TERM": "xterm-256color",
    "COLORTERM": "truecolor",
    # In a locale with another encoding the client would refuse to start.
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8",
}
_PASTE, _PASTE_END, _ENTER, _CTRL_Q = b"\x1b[200~", b"\x1b[201~", b"\r", b"\x11"
_CHUNK = 512
"""Bytes of a write; the buffer of a terminal is small."""
_LOOK_EVERY_S = 0.2
"""Rarely, so that this process takes no core from the model."""
_PATIENCE_S = 60.0
"""The client is given up when it has drawn nothing for so long."""
_END_S = 5.0
_LAST_WORDS = 400
"""Bytes of the output that are repeated if the client ends."""
_SIZE_VARIABLES = ("LINES", "COLUMNS")
"""Of the terminal that this program runs in."""
_running: set[int] = set()
"""Process ids of the clients."""


def kill_clients() -> None:
    """Kill the clients at once; any thread may call this. Their workers end with them."""
    for pid in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class ScreenClient:
    """A running client and the terminal that it draws in."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self._written = bytearray()
        self._last_output = time.monotonic()
        os.set_blocking(terminal, False)
        asyncio.get_running_loop().add_reader(terminal, self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self._terminal, 1 << 16)
        except OSError:  # the client has closed its side
            chunk = b""
        if not chunk:
            self.stop_reading()
        self._written += chunk
        self._last_output = time.monotonic()

    def stop_reading(self) -> None:
        """Read no more of the output."""
        asyncio.get_running_loop().remove_reader(self._terminal)

    async def wait_for(self, condition: Callable[[], Awaitable[T | None]]) -> T:
        """Wait until ``condition`` gives something, and return that.

        Raises:
            BenchError: the client has ended, or draws nothing any more.
        """
        while (result := await condition()) is None:
            if self._process.returncode is not None:
                last_words = self._written[-_LAST_WORDS:].decode("utf-8", "replace")
                raise BenchError(tr("the client has ended: {words}", words=clean_line(last_words)))
            if time.monotonic() - self._last_output > _PATIENCE_S:
                raise BenchError(tr("the client does not answer, and shows nothing new"))
            await asyncio.sleep(_LOOK_EVERY_S)
        return result

    async def wait_for_text(self, text: str) -> None:
        """Wait until ``text`` was drawn.

        Raises:
            BenchError: as for ``wait_for``.
        """

        async def is_drawn() -> bool | None:
            return text.encode() in self._written or None

        await self.wait_for(is_drawn)

    async def paste_and_send(self, text: str) -> None:
        """Paste ``text`` into the prompt and press Enter."""
        await self._type(_PASTE + text.encode() + _PASTE_END + _ENTER)

    async def _type(self, keys: bytes) -> None:
        while keys:
            try:
                keys = keys[os.write(self._terminal, keys[:_CHUNK]) :]
            except BlockingIOError:  # the client has not read the rest yet
                await asyncio.sleep(0.01)

    async def quit(self) -> None:
        """Quit as a person does: the client waits for the end of its model process.

        So the processor time of that counts as this program's own. It is killed if it takes long.
        """
        with contextlib.suppress(OSError, TimeoutError):  # it has ended by itself; it hangs
            await self._type(_CTRL_Q)
            await asyncio.wait_for(self._process.wait(), _END_S)


@contextlib.asynccontextmanager
async def client_on_screen(home: TemporaryHome, model: Path) -> AsyncIterator[ScreenClient]:
    """A client with ``home`` as its home and ``model`` as its model; it ends with the block.

    It is killed if the block fails. Should this process end in any way, the client ends too,
    because its terminal is closed then.

    Raises:
        OSError: the system has no terminal left, or cannot start another process.
    """
    terminal, inner = pty.openpty()
    try:
        try:
            termios.tcsetwinsize(inner, (_LINES, _COLUMNS))
            process = await _start(home, model, inner)
        finally:
            os.close(inner)
        client = ScreenClient(process, terminal)
        _running.add(process.pid)
        try:
            yield client
            await client.quit()
        finally:
            client.stop_reading()
            if process.returncode is None:
                process.kill()
                await process.wait()
            _running.discard(process.pid)
    finally:
        os.close(terminal)


async def _start(home: TemporaryHome, model: Path, terminal: int) -> asyncio.subprocess.Process:
    own = {name: value for name, value in os.environ.items() if name not in _SIZE_VARIABLES}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # nothing from the current folder is imported
        "-m",
        "baize_tui",
        "--model",
        str(model),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**own, **_ENVIRONMENT, HOME_VARIABLE: str(home.folder)},
        start_new_session=True,  # Ctrl-C is for this process alone
    )


async def answer_on_screen(home: TemporaryHome, model: Path, question: str) -> dict[str, Any]:
    """Ask ``question`` in a new client; how the answer was made, as the client stores it.

    Raises:
        BenchError: the client does not answer.
    """
    # What the screen shows once it takes keys. Imported here: it imports Textual.
    from baize_tui.app.conversation.idle_status import NOT_MODERATED

    async with client_on_screen(home, model) as client:
        await client.wait_for_text(NOT_MODERATED)
        with open_store(home.paths.conversations_file) as store:
            conversations = Conversations(store)
            before = {conversation.id for conversation in await conversations.list_all()}
            await client.paste_and_send(question)
            return await client.wait_for(lambda: _provenance(conversations, before))


async def _provenance(
    conversations: Conversations, before: Collection[str]
) -> dict[str, Any] | None:
    """How the answer was made in the conversation that is not among ``before``; None until it is
    complete.

    Raises:
        BenchError: it has failed.
    """
    new = [each for each in await conversations.list_all() if each.id not in before]
    if not new:
        return None
    *_, last = [None, *await conversations.shown_messages(new[0].id)]
    if last is None or last.role != "assistant" or last.state == "streaming":
        return None
    if last.provenance is None:
        raise BenchError(
            tr("the client has not finished its answer: it is {state}", state=last.state)
        )
    return last.provenance

"""Messages from standard input, read in a thread of their own."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Iterator

MARK = '"""'
"""A line with nothing else begins and ends a message of several lines."""
_PASTE_PAUSE_S = 0.05
"""Lines of a terminal that follow each other faster were pasted, and are one message."""
_LONGEST_READ = 1 << 16


class InputLines:
    """What a person types, or a program sends, message by message."""

    def __init__(self, descriptor: int, encoding: str, *, is_terminal: bool) -> None:
        """``descriptor`` is open for reading. On a terminal, pasted lines become one message."""
        self._descriptor = descriptor
        self._encoding = encoding
        self._is_terminal = is_terminal
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()
        self._buffer = b""

    def start(self) -> None:
        """Begin to read; call it in the event loop that waits for messages."""
        loop = asyncio.get_running_loop()

        def read_all() -> None:
            for message in self._read_messages():
                loop.call_soon_threadsafe(self._messages.put_nowait, message)
            loop.call_soon_threadsafe(self._messages.put_nowait, None)

        # A daemon thread: nothing can interrupt a read from a terminal.
        threading.Thread(target=read_all, name="input", daemon=True).start()

    async def next(self) -> str | None:
        """The next message, without its line end; None at the end of the input."""
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)  # it stays the end
        return message

    def _read_messages(self) -> Iterator[str]:
        while (line := self._read_line()) is not None:
            if line.strip() == MARK:
                yield "\n".join(self._lines_until_mark())
                continue
            lines = [line]
            while self._is_terminal and self._more_was_pasted():
                more = self._read_line()
                if more is None:
                    break
                lines.append(more)
            yield "\n".join(lines)

    def _lines_until_mark(self) -> Iterator[str]:
        while (line := self._read_line()) is not None and line.strip() != MARK:
            yield line

    def _more_was_pasted(self) -> bool:
        if self._buffer:
            return True
        return bool(select.select([self._descriptor], [], [], _PASTE_PAUSE_S)[0])

    def _read_line(self) -> str | None:
        """The next line without its end; None at the end of the input."""
        while b"\n" not in self._buffer:
            try:
                read = os.read(self._descriptor, _LONGEST_READ)
            except OSError:  # the terminal is gone
                read = b""
            if not read:
                rest, self._buffer = self._buffer, b""
                return self._decode(rest) if rest else None
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\n")
        return self._decode(line)

    def _decode(self, line: bytes) -> str:
        return line.decode(self._encoding, "replace").removesuffix("\r")

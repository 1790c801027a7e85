"""Messages from standard input: lines, pastes, texts of several lines, and bad bytes."""

from __future__ import annotations

import os
import pty
import threading

import pytest

from baize_tui.plain.input_lines import InputLines


def _write_all(descriptor: int, raw: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(raw)


async def messages(raw: bytes) -> list[str]:
    """All messages in ``raw``, which comes from a pipe."""
    reading, writing = os.pipe()
    threading.Thread(target=_write_all, args=(writing, raw)).start()  # a pipe holds only 64 KiB
    lines = InputLines(reading, "utf-8", is_terminal=False)
    lines.start()
    found = []
    while (message := await lines.next()) is not None:
        found.append(message)
    assert await lines.next() is None, "the end stays the end"
    os.close(reading)
    return found


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"no end", ["no end"]),
        (b"windows\r\n", ["windows"]),
        (b"\n\n", ["", ""]),
        (b'"""\none\n\ntwo\n"""\nnext\n', ["one\n\ntwo", "next"]),
        (b'"""\nnever ended\n', ["never ended"]),
        (b'"""', [""]),
        (b'say """ here\n', ['say """ here']),
        (b"caf\xc3\xa9 \xff\n", ["café \ufffd"]),
        ("你好\n".encode(), ["你好"]),
        (b"a" * 200_000 + b"\nb\n", ["a" * 200_000, "b"]),
    ],
)
async def test_lines_become_messages(raw: bytes, expected: list[str]) -> None:
    assert await messages(raw) == expected


async def test_lines_that_were_pasted_are_one_message() -> None:
    control, terminal = pty.openpty()
    lines = InputLines(terminal, "utf-8", is_terminal=True)
    os.write(control, b"one\ntwo\n\nthree\n")
    lines.start()
    assert await lines.next() == "one\ntwo\n\nthree"
    os.write(control, b"typed\n")
    assert await lines.next() == "typed"
    os.write(control, b"\x04")  # Ctrl-D
    assert await lines.next() is None
    os.close(control)
    os.close(terminal)


async def test_a_terminal_that_closes_is_the_end() -> None:
    control, terminal = pty.openpty()
    lines = InputLines(terminal, "utf-8", is_terminal=True)
    lines.start()
    os.close(control)
    assert await lines.next() is None
    os.close(terminal)

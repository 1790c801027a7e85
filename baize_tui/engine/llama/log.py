"""llama.cpp's log: errors become reasons of exceptions, warnings go to stderr."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator

import llama_cpp.llama_cpp as lib

_ERROR_LEVEL, _WARNING_LEVEL, _INFO_LEVEL = 4, 3, 2  # enum ggml_log_level of ggml.h
_lock = threading.Lock()
_recent_errors: list[str] = []
_captures: list[list[str]] = []


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _receive(level: int, text: bytes | None, _user_data: object) -> None:
    """Keep errors for the next exception; write warnings and errors to stderr, the log file."""
    line = (text or b"").decode("utf-8", "replace")
    with _lock:
        if level == _ERROR_LEVEL and line.strip():
            _recent_errors.append(line.strip())
            del _recent_errors[:-20]
        if level == _INFO_LEVEL:
            for lines in _captures:
                lines.append(line.strip())
    if level >= _WARNING_LEVEL:
        os.write(2, line.encode("utf-8", "replace"))


@contextlib.contextmanager
def capture_log() -> Iterator[list[str]]:
    """Collect the lines that llama.cpp logs at level INFO inside the block.

    Some figures, such as the sizes of its buffers, are available nowhere else.
    """
    lines: list[str] = []
    with _lock:
        _captures.append(lines)
    try:
        yield lines
    finally:
        with _lock:
            # By identity: two empty lists are equal.
            _captures[:] = [capture for capture in _captures if capture is not lines]


def forget_errors() -> None:
    """Start a call whose failure ``reason_from_log`` is to explain."""
    with _lock:
        _recent_errors.clear()


def reason_from_log(default: str) -> str:
    """The most specific error line since ``forget_errors``, without the name of the C function.

    llama.cpp gives its reasons nowhere but in the log.
    """
    with _lock:
        lines = list(_recent_errors)
    if not lines:
        return default
    line = next((line for line in lines if "error loading model" in line), lines[0])
    return line.split(": ", 1)[-1] if line.split(": ", 1)[0].isidentifier() else line


def install_log() -> None:
    """Have llama.cpp log to this module."""
    lib.llama_log_set(_receive, ctypes.c_void_p(0))


install_log()

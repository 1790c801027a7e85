"""Textual's terminal driver, which also reports Esc quickly, survives a closed terminal, and is
suspended as other programs are.

Textual 8.2 checks for a lone Esc only every 100 ms (``LinuxDriver.run_input_thread``), whatever
``ESCDELAY`` says. Right after input, this driver checks again after ``ESCAPE_S``; an idle client
still wakes up ten times a second.

When a terminal closes, Textual's input thread spins on the end of the input, and its writer thread
(``_writer_thread.py``) dies; the main thread then waits forever for room in a queue that nobody
empties. Here both threads tell the exit watch, and the writer keeps emptying its queue.

To suspend, Textual stops its own process. Here the process group is stopped, so that a wrapper such
as ``time`` stops too; where no shell could continue the group, the system ignores that.
Textual's signal handlers write to the queue of the writer, which may be locked at that moment; here
they only tell the event loop.

Once a terminal has said that it reports its size by itself, Textual ignores the signal for it; but
a client can move to another terminal, as with dtach, which says nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import selectors
import signal
import sys
import termios
import threading
from types import SimpleNamespace
from typing import Any, Protocol, TextIO, cast

from textual import events
from textual.app import App
from textual.drivers import linux_driver
from textual.geometry import Size
from textual.message import Message

from baize_tui.app import ESCAPE_S
from baize_tui.app.terminal_input import ForgivingParser, forgiving_decoder, possible_size
from baize_tui.exit_watch import ExitWatch

_RESET = "".join(
    (
        "\x1b\\",  # ends a sequence that was cut in the middle
        "\x1b[?2026l",  # synchronized output
        "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l",  # the mouse
        "\x1b[?2004l\x1b[?7h\x1b[?2048l",  # bracketed paste, line wrap, resize reports
        "\x1b[<u",  # the keyboard protocol, which belongs to the alternate screen
        "\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m",  # that screen, the cursor, focus reports
    )
).encode()
"""What ``LinuxDriver.stop_application_mode`` writes."""
_SAVE_TITLE, _TAKE_BACK_TITLE = "\x1b[22;2t", "\x1b[23;2t"
"""The title of the window, onto the terminal's stack and from there."""
_WRITE_TIMEOUT_S = 0.1
_EMPTY_READS = 3
"""As many in a row mean the end of the input: a terminal in raw mode is ready only with a key."""


class EndOfInput(Exception):
    """The terminal is closed."""


class WatchedApp(Protocol):
    """An app that can be ended from outside."""

    exit_watch: ExitWatch


class InputSelector(selectors.SelectSelector):
    """Waits no longer than ``ESCAPE_S`` right after input.

    Raises:
        EndOfInput: the terminal is ready several times in a row with nothing to read.
    """

    _had_input = False
    _empty = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(ESCAPE_S if self._had_input else timeout)
        self._had_input = bool(ready)
        for key, _ in ready:
            self._empty = 0 if _bytes_to_read(key.fd) else self._empty + 1
            if self._empty >= _EMPTY_READS:
                raise EndOfInput
        return ready


def _bytes_to_read(descriptor: int) -> int:
    """How many bytes can be read; 0 if the terminal is closed."""
    try:
        waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(waiting, sys.byteorder)


class ScreenFile:
    """The terminal, as the file of the writer thread; once it is closed, nothing is written.

    A write never raises: Textual's writer thread would die of it.
    """

    def __init__(self, file: TextIO, exit_watch: ExitWatch) -> None:
        self._fd = file.fileno()
        self._encoding = file.encoding
        self._exit_watch = exit_watch
        self._unwritten = bytearray()
        self._silent = False
        self._writing = threading.Lock()

    def write(self, text: str) -> int:
        if not self._silent:
            self._unwritten += text.encode(self._encoding, "backslashreplace")
        return len(text)

    def flush(self) -> None:
        with self._writing:
            try:
                while self._unwritten and not self._silent:
                    try:
                        del self._unwritten[: os.write(self._fd, self._unwritten)]
                    except BlockingIOError:  # another program made it non-blocking
                        select.select([], [self._fd], [], _WRITE_TIMEOUT_S)
            except OSError:
                self._silent = True
                self._exit_watch.terminal_closed()

    def fileno(self) -> int:
        return self._fd

    def silence(self) -> None:
        """Write nothing more; a write that is running gets ``_WRITE_TIMEOUT_S`` to end."""
        self._silent = True
        if self._writing.acquire(timeout=_WRITE_TIMEOUT_S):
            self._writing.release()


class ClientDriver(linux_driver.LinuxDriver):
    """``LinuxDriver`` that reports a lone Esc within ``ESCAPE_S`` and the end of the terminal."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._exit_watch = cast(WatchedApp, app).exit_watch
        assert sys.__stderr__ is not None
        self._screen_file = ScreenFile(sys.__stderr__, self._exit_watch)
        self._file = cast(Any, self._screen_file)
        self._in_use = False
        """Whether the terminal is set up for the screen and has to be restored."""
        self._is_suspending = False
        self._title: str | None = None
        """The title of the window; None for the one from before."""
        self._exit_watch.at_exit(self._restore)

    def run_input_thread(self) -> None:
        # LinuxDriver takes them from these module variables; nothing else uses them.
        replacement = SimpleNamespace(SelectSelector=InputSelector, EVENT_READ=selectors.EVENT_READ)
        setattr(linux_driver, "selectors", replacement)  # noqa: B010
        setattr(linux_driver, "XTermParser", ForgivingParser)  # noqa: B010
        setattr(linux_driver, "getincrementaldecoder", forgiving_decoder)  # noqa: B010
        try:
            super().run_input_thread()
        except (EndOfInput, OSError):
            self._exit_watch.terminal_closed()

    def _get_terminal_size(self) -> tuple[int, int]:
        width, height = super()._get_terminal_size()
        return possible_size(Size(width, height))

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.Resize) and message.size != possible_size(message.size):
            size = possible_size(message.size)
            message = events.Resize(size, size, None, message.pixel_size)
        super().process_message(message)

    def start_application_mode(self) -> None:
        if self._exit_watch.leaving:
            return
        self._in_use = True
        before = self._writer_thread
        super().start_application_mode()  # type: ignore[no-untyped-call]
        # A job in the background does not get the terminal.
        self._in_use = self._writer_thread is not before
        if self._in_use:
            signal.signal(signal.SIGWINCH, self._resized)
        if self._in_use and self._title is not None:
            self._write_title(_SAVE_TITLE)

    def stop_application_mode(self) -> None:
        if self._in_use and self._title is not None:
            self.write(_TAKE_BACK_TITLE)
        super().stop_application_mode()

    def set_title(self, title: str | None) -> None:
        """Set the title of the window, which must be harmless; None takes back the one from
        before, as the end does."""
        if title == self._title:
            return
        before, self._title = self._title, title
        if self._in_use and title is None:
            self.write(_TAKE_BACK_TITLE)
        elif self._in_use:
            self._write_title(_SAVE_TITLE if before is None else "")

    def _write_title(self, first: str) -> None:
        self.write(f"{first}\x1b]2;{self._title}\x1b\\")

    def close(self) -> None:
        super().close()
        self._in_use = False

    def _resized(self, *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(self._report_size)

    def _report_size(self) -> None:
        """Tell the app the size of the terminal, unless the terminal has told it itself."""
        size = Size(*self._get_terminal_size())
        if size != self._app.size or not self._in_band_window_resize:
            self._app.post_message(events.Resize(size, size))

    # --- suspending -----------------------------------------------------------------------------

    def _sigtstp_application(self, *arguments: Any) -> None:
        if self._exit_watch.leaving:
            return
        if self._auto_restart:
            self._loop.call_soon_threadsafe(self._suspend)
        else:  # an editor has the terminal
            super()._sigtstp_application(*arguments)

    def _sigcont_application(self, *arguments: Any) -> None:
        if self._auto_restart and not self._is_suspending:
            self._loop.call_soon_threadsafe(self._take_terminal_again)

    def _suspend(self) -> None:
        """Give the terminal back and stop until a shell continues this job."""
        self.suspend_application_mode()
        self._is_suspending = True
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            os.killpg(os.getpgrp(), signal.SIGTSTP)
        finally:
            signal.signal(signal.SIGTSTP, handler)
            self._is_suspending = False
        self._take_terminal_again()

    def _take_terminal_again(self) -> None:
        """Set up the terminal, which others have used since this process was stopped."""
        # Ended while it was suspended: a job in the background that sets up the terminal would be
        # stopped again.
        if self._exit_watch.leaving:
            return
        if self._in_use:  # stopped by SIGSTOP, before it could give the terminal back
            self.suspend_application_mode()
        self._must_signal_resume = True
        self.resume_application_mode()

    def _restore(self) -> None:
        """Restore the terminal without waiting for it; the exit watch calls this."""
        self._screen_file.silence()
        if not self._in_use:
            return
        # Each of these fails if the terminal is closed.
        with contextlib.suppress(OSError, termios.error):
            if os.tcgetpgrp(self.fileno) != os.getpgrp():
                return  # another job uses it
            if self.attrs_before is not None:
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
            termios.tcflush(self.fileno, termios.TCIFLUSH)
            # Opened again: making the shell's own descriptor non-blocking would break the shell.
            name = os.ttyname(self._screen_file.fileno())
            screen = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            if select.select([], [screen], [], _WRITE_TIMEOUT_S)[1]:
                title = _TAKE_BACK_TITLE.encode() if self._title is not None else b""
                os.write(screen, _RESET + title)

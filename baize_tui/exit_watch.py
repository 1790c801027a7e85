"""Ending this process on a signal, or when its terminal has closed, whatever else it is doing.

SIGTERM, SIGHUP, the end of the terminal's input and a failed write to it all mean the same: save,
then exit. The event loop cannot be relied on for that: it may be blocked in a write to the
terminal, in an external editor or in an endless loop. So a separate thread waits for these events.
It asks the event loop to save; if the loop does not answer in time, the thread saves what it can
reach itself. Either way, the process ends within ``LIMIT_S``.

The limit requires that Python runs at all. C code that keeps the interpreter's lock without
checking for signals would delay it; the regular expressions of ``re`` keep the lock, but do check.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import FrameType
from typing import Any, Self

LIMIT_S = 2.0
"""From the reason to exit to the end of the process."""
_SAVE_S = 1.0
"""How long the event loop may take to save."""
_RESCUE_S = 0.4
"""How long the thread may take to save what it can reach, if the event loop did not."""
_ALARM_S = 1.9
"""When the kernel ends the process if the thread itself is blocked."""
_TICK_S = 0.02
"""How often a main thread that computes in C is forced to release the interpreter's lock."""
_EXIT_SIGNALS = (signal.SIGHUP, signal.SIGTERM)

Save = Callable[[], Coroutine[Any, Any, None]]
"""Saves everything, in the event loop; raises if something could not be saved."""
Rescue = Callable[[float], None]
"""Saves what a thread can reach while the event loop hangs; takes a limit in seconds."""


class ExitWatch:
    """Waits for a reason to end this process, and ends it; a process has one watch.

    It surrounds the work of the main thread::

        with ExitWatch() as exit_watch:
            ...

    If the block ends because of such a reason, the watch still decides the exit code.
    """

    def __init__(
        self, terminal: int | None = None, *, codes_when_saved: Mapping[int, int] = {}
    ) -> None:
        """``terminal`` is a descriptor of the terminal; when that closes, the process ends.

        The exit code is 128 plus the signal (SIGHUP for a closed terminal), unless
        ``codes_when_saved`` has another code for this signal and everything was saved.
        """
        self._terminal = terminal
        self._codes_when_saved = codes_when_saved
        self._pipe: tuple[int, int] | None = None
        """To wake the thread: it receives the numbers of signals, and 0 for a new deadline."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._save: Save | None = None
        self._rescue: Rescue | None = None
        self._last_steps: list[Callable[[], object]] = []
        self._deadline: float | None = None
        self._code = 0
        self.leaving = False
        """The process is about to end: nothing new must begin."""
        # Reentrant: a signal may arrive while the main thread holds it.
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="exit watch", daemon=True)

    def __enter__(self) -> Self:
        """Take over SIGTERM and SIGHUP; call it in the main thread before other threads start.

        An ignored signal, as under ``nohup``, stays ignored.
        """
        self._pipe = reading, writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        # Python writes to it when a signal arrives, even if the main thread is blocked.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in _EXIT_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGVTALRM, lambda *_: None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """If the watch has begun to end the process, wait for it.

        The work of the main thread has only stopped then, and an exiting Python no longer handles
        the alarms.
        """
        with self._lock:
            is_ending, self.leaving = self.leaving, True
        if is_ending:
            self._thread.join()

    def save_at_exit(self, save: Save, rescue: Rescue) -> None:
        """Save with these from now on; call it in the event loop that runs ``save``."""
        self._save, self._rescue = save, rescue
        self._loop = asyncio.get_running_loop()

    def at_exit(self, step: Callable[[], object]) -> None:
        """Call ``step`` after saving, in the watching thread; it must be short."""
        self._last_steps.append(step)

    @contextlib.contextmanager
    def at_exit_inside(self, step: Callable[[], object]) -> Iterator[None]:
        """Call ``step`` like ``at_exit``, if the process ends inside the block."""
        self._last_steps.append(step)
        try:
            yield
        finally:
            self._last_steps.remove(step)

    def terminal_closed(self) -> None:
        """Report that the terminal has closed; any thread may call this."""
        self._wake(signal.SIGHUP)

    def end_within(self, seconds: float, code: int) -> None:
        """End the process with ``code`` if its own exit, with everything saved, takes longer."""
        self._code = code
        self._deadline = time.monotonic() + seconds
        self._wake(0)

    def _wake(self, number: int) -> None:
        if self._pipe is not None:
            # A full pipe already wakes the thread.
            with contextlib.suppress(BlockingIOError):
                os.write(self._pipe[1], bytes([number]))

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # The thread is woken by the pipe. But it cannot run while the main thread computes in C
        # and checks for signals only now and then: so the alarm is set here as well.
        self._set_alarm()

    def _set_alarm(self) -> None:
        with self._lock:
            if not self.leaving:
                self.leaving = True
                signal.setitimer(signal.ITIMER_REAL, _ALARM_S)
                # Whenever a Python handler runs, the interpreter's lock can change hands.
                signal.setitimer(signal.ITIMER_VIRTUAL, _TICK_S, _TICK_S)

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        # The main thread gets the signals, and SIGTTOU must not stop restoring the terminal.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        number = self._wait_for_reason()
        with contextlib.ExitStack() as steps:  # all steps run, whatever one of them raises
            steps.callback(lambda: os._exit(self._code))
            if number:
                self._set_alarm()
                self._code = 128 + number
            for step in self._last_steps:
                steps.callback(step)
            if number and self._save_all():
                self._code = self._codes_when_saved.get(number, self._code)

    def _wait_for_reason(self) -> int:
        """The signal that was sent, SIGHUP if the terminal has closed, 0 if a normal exit hangs."""
        assert self._pipe is not None
        reading = self._pipe[0]
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        if self._terminal is not None:
            poll.register(self._terminal, 0)  # only its end
        while True:
            left = self._deadline - time.monotonic() if self._deadline is not None else None
            if left is not None and left <= 0:
                return 0
            for descriptor, event in poll.poll(left * 1000 if left is not None else None):
                if descriptor == reading:
                    numbers = os.read(reading, 1024)
                    number = next((n for n in _EXIT_SIGNALS if n in numbers), None)
                    if number is not None:
                        return number
                    self._wake_loop()
                elif event & (select.POLLHUP | select.POLLERR):
                    return signal.SIGHUP
                else:
                    poll.unregister(descriptor)  # a system that cannot poll terminals

    def _wake_loop(self) -> None:
        """Let the main thread, which may be asleep, run the handler of another signal."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # closed
                self._loop.call_soon_threadsafe(int)

    def _save_all(self) -> bool:
        """Whether everything is saved."""
        loop, save, rescue = self._loop, self._save, self._rescue
        if loop is None or save is None or rescue is None:
            return False
        saving = save()
        try:
            saved = asyncio.run_coroutine_threadsafe(saving, loop)
        except RuntimeError:  # closed
            saving.close()
        else:
            concurrent.futures.wait([saved], _SAVE_S)
            if saved.done() and not saved.cancelled() and saved.exception() is None:
                return True
        rescue(_RESCUE_S)
        return False

"""Ending this process when it is told to, or when its terminal is gone, whatever else it is doing.

SIGTERM, SIGHUP, the end of the terminal's input and a write to it that fails all mean the same:
save, then go. The event loop cannot be relied on for that. It may be blocked in a write to the
terminal, in a person's editor or in a loop without end. So a thread of its own waits for the
reasons to go. It has the event loop save; where that does not answer in time, it saves what it can
reach itself. Either way the process ends within ``LIMIT_S``.

The limit holds as long as Python gets to run at all. C code that keeps the interpreter's lock and
never looks for signals would delay it; the regular expressions of ``re`` keep it, but do look.
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
"""From the reason to go to the end of the process."""
_SAVE_S = 1.0
"""How long the event loop may take to save."""
_RESCUE_S = 0.4
"""How long the thread takes to save what it can reach, where the event loop did not."""
_ALARM_S = 1.9
"""When the kernel ends the process, should the thread itself be held up."""
_TICK_S = 0.02
"""How often a main thread that computes in C is made to let the thread run."""
_TOLD = (signal.SIGHUP, signal.SIGTERM)

Save = Callable[[], Coroutine[Any, Any, None]]
"""Saves everything, in the event loop; raises where something could not be saved."""
Rescue = Callable[[float], None]
"""Saves what a thread can reach while the event loop hangs, within so many seconds."""


class ExitWatch:
    """Waits for reasons to end this process, and ends it; there is one in a process.

    It surrounds what the main thread does::

        with ExitWatch() as exit_watch:
            ...

    When the block ends because the process was told to, the watch still decides the exit code.
    """

    def __init__(
        self, terminal: int | None = None, *, codes_when_saved: Mapping[int, int] = {}
    ) -> None:
        """``terminal`` is a descriptor of the terminal without which there is no reason to go on.

        The exit code is 128 plus the signal, SIGHUP for a terminal that is gone, unless
        ``codes_when_saved`` has another one for this signal when everything was saved.
        """
        self._terminal = terminal
        self._codes_when_saved = codes_when_saved
        self._reasons: tuple[int, int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._save: Save | None = None
        self._rescue: Rescue | None = None
        self._last_steps: list[Callable[[], object]] = []
        self._deadline: float | None = None
        self._code = 0
        self.leaving = False
        """The process is about to end: nothing new is to begin."""
        # Reentrant, for a signal may come while the main thread holds it.
        self._deciding = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="exit watch", daemon=True)

    def __enter__(self) -> Self:
        """Take over SIGTERM and SIGHUP; the main thread does this before it starts others.

        A signal that is ignored, as under ``nohup``, stays ignored.
        """
        self._reasons = reading, writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        # Written to when a signal arrives, before and whether or not the main thread hears of it.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in _TOLD:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._told)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGVTALRM, lambda *_: None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the watch end the process where it has begun to.

        What the main thread was doing has only stopped, and Python, on its way out, no longer
        handles the alarms.
        """
        with self._deciding:
            told, self.leaving = self.leaving, True
        if told:
            self._thread.join()

    def attend(self, save: Save, rescue: Rescue) -> None:
        """From now on there is something to save; the event loop that saves calls this."""
        self._save, self._rescue = save, rescue
        self._loop = asyncio.get_running_loop()

    def at_exit(self, step: Callable[[], object]) -> None:
        """Call ``step``, from the watching thread, after saving; it must not take long."""
        self._last_steps.append(step)

    @contextlib.contextmanager
    def ending(self, step: Callable[[], object]) -> Iterator[None]:
        """Call ``step`` like ``at_exit``, if the end comes inside the block."""
        self._last_steps.append(step)
        try:
            yield
        finally:
            self._last_steps.remove(step)

    def terminal_closed(self) -> None:
        """The terminal is gone; any thread may call this."""
        self._say(signal.SIGHUP)

    def end_within(self, seconds: float, code: int) -> None:
        """Everything is saved and the process is ending; end it with ``code`` if that hangs."""
        self._code = code
        self._deadline = time.monotonic() + seconds
        self._say(0)

    def _say(self, number: int) -> None:
        if self._reasons is not None:
            # A full pipe has something to read already.
            with contextlib.suppress(BlockingIOError):
                os.write(self._reasons[1], bytes([number]))

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        # The thread hears of it by itself. But it cannot run while the main thread computes in C
        # and only looks for signals now and then: so the alarm is set here as well.
        self._set_alarm()

    def _set_alarm(self) -> None:
        with self._deciding:
            if not self.leaving:
                self.leaving = True
                signal.setitimer(signal.ITIMER_REAL, _ALARM_S)
                # Whenever a Python handler runs, the interpreter's lock changes hands.
                signal.setitimer(signal.ITIMER_VIRTUAL, _TICK_S, _TICK_S)

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        # Signals are for the main thread; and SIGTTOU must not stop what gives the terminal back.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        number = self._wait_for_reason()
        with contextlib.ExitStack() as steps:  # all of them are taken, whatever one raises
            steps.callback(lambda: os._exit(self._code))
            if number:
                self._set_alarm()
                self._code = 128 + number
            for step in self._last_steps:
                steps.callback(step)
            if number and self._save_all():
                self._code = self._codes_when_saved.get(number, self._code)

    def _wait_for_reason(self) -> int:
        """The signal that was sent, SIGHUP if the terminal is gone, 0 if quitting hangs."""
        assert self._reasons is not None
        reading = self._reasons[0]
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
                    said = os.read(reading, 1024)
                    told = next((number for number in _TOLD if number in said), None)
                    if told is not None:
                        return told
                    self._wake_loop()
                elif event & (select.POLLHUP | select.POLLERR):
                    return signal.SIGHUP
                else:
                    poll.unregister(descriptor)  # a system that cannot poll terminals

    def _wake_loop(self) -> None:
        """Another signal came: its handler runs in the main thread, which may be asleep."""
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

"""Textual's terminal driver with a quick Esc.

Textual 8.2 looks at the clock every 100 ms only (``LinuxDriver.run_input_thread``), whatever
``ESCDELAY`` says. Right after input this driver looks again after ``ESCAPE_S``; an idle client
still wakes up ten times a second.
"""

from __future__ import annotations

import selectors
from types import SimpleNamespace

from textual.drivers import linux_driver

from baize_tui.app import ESCAPE_S


class _AttentiveSelector(selectors.SelectSelector):
    """Waits no longer than ``ESCAPE_S`` right after there was something to read."""

    _had_input = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(ESCAPE_S if self._had_input else timeout)
        self._had_input = bool(ready)
        return ready


class QuickEscapeDriver(linux_driver.LinuxDriver):
    """``LinuxDriver`` that tells a lone Esc within ``ESCAPE_S``."""

    def run_input_thread(self) -> None:
        # The driver names its selector by module; nothing else in this process sees this one.
        named = SimpleNamespace(SelectSelector=_AttentiveSelector, EVENT_READ=selectors.EVENT_READ)
        setattr(linux_driver, "selectors", named)  # noqa: B010
        super().run_input_thread()

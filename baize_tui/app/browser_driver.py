"""Textual's driver for a page in a browser, which also notices that the page is gone.

Textual 8.2.8 goes on without a page: its input thread ends in silence, or the app is closed before
drafts are saved. Here both are what a closed terminal is: everything is saved, and the process
ends.
"""

from __future__ import annotations

from typing import Any, cast

from textual import events
from textual.app import App
from textual.drivers import web_driver

from baize_tui.app.terminal_driver import WatchedApp
from baize_tui.app.terminal_input import ForgivingParser


class BrowserDriver(web_driver.WebDriver):
    """``WebDriver`` that reports the end of the page to the exit watch."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._exit_watch = cast(WatchedApp, app).exit_watch

    def start_application_mode(self) -> None:
        super().start_application_mode()
        # WebDriver begins without the focus, and the page may have sent it before.
        self._app.call_later(self._app.post_message, events.AppFocus())

    def run_input_thread(self) -> None:
        setattr(web_driver, "XTermParser", ForgivingParser)  # noqa: B010
        super().run_input_thread()
        if not self.exit_event.is_set():  # the server has ended
            self._exit_watch.terminal_closed()

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        if packet_type == "quit":
            self._exit_watch.terminal_closed()
        else:
            super().on_meta(packet_type, payload)

    def write(self, data: str) -> None:
        try:
            super().write(data)
        except OSError:
            self._exit_watch.terminal_closed()

    def write_meta(self, data: dict[str, object]) -> None:
        try:
            super().write_meta(data)
        except OSError:
            self._exit_watch.terminal_closed()

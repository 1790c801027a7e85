"""A client that hangs in the way WAY once FILE exists::

python stuck_client.py WAY FILE
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from textual.worker import Worker

from baize_tui.app import app as app_module
from baize_tui.app.app import BaizeApp
from baize_tui.cli.failures import exit_code_of
from baize_tui.cli.start import StartOptions, start_client


def loop_forever(_: BaizeApp) -> None:
    while True:
        pass


def wait_forever(_: BaizeApp) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def match_forever(_: BaizeApp) -> None:
    """In C, with the interpreter's lock held."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def write_forever(app: BaizeApp) -> None:
    """Into the full queue of a writer thread that has died."""
    driver = app._driver
    assert driver is not None
    driver._writer_thread._queue.put(None)  # type: ignore[attr-defined]
    while True:
        driver.write(" ")


def wait_in_a_thread(app: BaizeApp) -> None:
    """The event loop runs, but does not end before its threads."""
    app.run_worker(asyncio.to_thread(threading.Event().wait))


def fail(_: BaizeApp) -> None:
    """As a bug would."""
    conversation = "a private text"
    raise RuntimeError(f"no such luck with {len(conversation)} letters")


def fail_in_a_worker(app: BaizeApp) -> None:
    async def work() -> None:
        fail(app)

    _: Worker[None] = app.run_worker(work)


WAYS: dict[str, Callable[[BaizeApp], None]] = {
    "endless loop": loop_forever,
    "lock": wait_forever,
    "regular expression": match_forever,
    "dead writer": write_forever,
    "thread": wait_in_a_thread,
    "bug": fail,
    "bug in a worker": fail_in_a_worker,
}


class StuckApp(BaizeApp):
    CSS_PATH = str(Path(app_module.__file__).with_name("baize.tcss"))

    def on_ready(self) -> None:
        way, file = WAYS[sys.argv[1]], Path(sys.argv[2])

        def hang_once_told() -> None:
            if file.exists():
                file.unlink()
                way(self)

        self.set_interval(0.02, hang_once_told)


def main() -> None:
    app_module.BaizeApp = StuckApp  # type: ignore[misc]
    sys.exit(exit_code_of(lambda: start_client(StartOptions())))


if __name__ == "__main__":
    main()

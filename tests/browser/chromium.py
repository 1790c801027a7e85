"""Headless Chromium, driven through ChromeDriver with the standard library alone."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyte

from tests.conftest import wait_for

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")
WHY_NONE = "Chromium is not installed (Debian: chromium and chromium-driver)"
IS_INSTALLED = DRIVER is not None and BROWSER is not None
_ARGUMENTS = [
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--no-sandbox",) * (hasattr(os, "geteuid") and os.geteuid() == 0),
]
CONTROL, ALT, ENTER, ESCAPE = "\ue009", "\ue00a", "\ue007", "\ue00c"

_RECORDER = """
const parts = [];
window.received = () => btoa(parts.join(""));
window.WebSocket = class extends WebSocket {
  constructor(...options) {
    super(...options);
    this.addEventListener("message", (event) => {
      if (typeof event.data !== "string") {
        parts.push(String.fromCharCode(...new Uint8Array(event.data)));
      }
    });
  }
};
"""


class Chromium:
    """One window with its tabs."""

    def __init__(self, port: int, width: int, height: int) -> None:
        self._port = port
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-")
        arguments = [*_ARGUMENTS, f"--user-data-dir={self._profile.name}"]
        options = {
            "binary": BROWSER,
            "args": [*arguments, f"--window-size={width},{height}"],
        }
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        opened = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{opened['sessionId']}"
        self._record_in_new_pages()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        text = json.dumps({} if body is None else body) if method == "POST" else None
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(answer["message"])
        return answer

    def _record_in_new_pages(self) -> None:
        """Have the pages of the present tab keep what their websocket receives."""
        body = {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": _RECORDER}}
        self._ask("POST", f"{self._session}/goog/cdp/execute", body)

    def terminal_text(self, columns: int = 200, lines: int = 60) -> str:
        """What the terminal in the page shows: it is a canvas, so its bytes are emulated."""
        screen = pyte.Screen(columns, lines)
        pyte.ByteStream(screen).feed(base64.b64decode(self.run("return window.received()")))
        return "\n".join(line.rstrip() for line in screen.display).strip()

    def wait_for_text(self, wanted: str) -> str:
        """Wait until the terminal shows ``wanted``."""
        text = ""

        def is_shown() -> bool:
            nonlocal text
            text = self.terminal_text()
            return wanted in text

        wait_for(is_shown)
        return text

    def open(self, url: str) -> None:
        self._ask("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """What a script in the page returns."""
        body = {"script": script, "args": arguments}
        return self._ask("POST", f"{self._session}/execute/sync", body)

    def run_async(self, script: str) -> Any:
        """What a script passes to the function ``done``."""
        body = {"script": f"const done = arguments[0]; {script}", "args": []}
        return self._ask("POST", f"{self._session}/execute/async", body)

    def type(self, text: str, *, hold: str = "") -> None:
        """Press the keys of ``text``, with ``hold`` held down."""
        keys = [*hold, *text]
        downs = [[{"type": "keyDown", "value": key}] for key in keys]
        if not hold:
            actions = [
                {"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")
            ]
        else:
            actions = [down[0] for down in downs]
            actions += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        body = {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        self._ask("POST", f"{self._session}/actions", body)

    def screenshot(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self._ask("GET", f"{self._session}/screenshot"))

    def new_tab(self) -> str:
        """Open another tab and go to it; its handle."""
        handle: str = self._ask("POST", f"{self._session}/window/new", {"type": "tab"})["handle"]
        self.go_to(handle)
        self._record_in_new_pages()
        return handle

    @property
    def tab(self) -> str:
        handle: str = self._ask("GET", f"{self._session}/window")
        return handle

    def go_to(self, handle: str) -> None:
        self._ask("POST", f"{self._session}/window", {"handle": handle})

    def close_tab(self) -> None:
        self._ask("DELETE", f"{self._session}/window")

    def messages(self) -> list[str]:
        """What the console of the page has printed since the last call."""
        entries = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    def requested_hosts(self) -> set[str]:
        """The hosts that the page has loaded something from."""
        names = self.run("return performance.getEntriesByType('resource').map(e => e.name)")
        return {name.split("/")[2] for name in names if "://" in name}

    def close(self) -> None:
        with suppress(AssertionError, OSError):
            self._ask("DELETE", self._session)
        self._profile.cleanup()


@contextmanager
def chromium(width: int = 1000, height: int = 640) -> Iterator[Chromium]:
    """A new window, which is closed at the end."""
    assert DRIVER is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        with socket.socket() as there:
            return there.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(answers)
        browser = Chromium(port, width, height)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.terminate()
        process.wait()

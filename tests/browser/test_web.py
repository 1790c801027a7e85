"""The client in a browser: it works in real Chromium, and nobody else reads along."""

from __future__ import annotations

import http.client
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from baize_tui.cli.main import run as run_here
from baize_tui.paths import Paths
from tests.browser.chromium import CONTROL, ENTER, IS_INSTALLED, WHY_NONE, Chromium, chromium
from tests.browser.web import Web, web
from tests.conftest import wait_for, wait_until
from tests.processes import command_line, descendants_of, is_running

PARIS = "What is the capital of France?"


@pytest.fixture
def served(smollm2: Path, paths: Paths) -> Iterator[Web]:
    paths.config.mkdir(parents=True)
    paths.settings_file.write_text("[sampling]\ntemperature = 0.0\n\n[idle]\ntitles = false\n")
    with web("--model", str(smollm2)) as running:
        yield running


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server for tests that only ask it."""
    with web(environment={"BAIZE_HOME": str(tmp_path_factory.mktemp("home"))}) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[Chromium]:
    if not IS_INSTALLED:
        pytest.skip(WHY_NONE)
    with chromium() as window:
        yield window


def processes(served: Web, module: str) -> list[int]:
    started = descendants_of(served.process.pid)
    return [pid for pid in started if module in command_line(pid)]


def test_two_tabs_of_a_browser_share_one_model(served: Web, browser: Chromium) -> None:
    browser.open(served.url)
    first = browser.tab
    browser.wait_for_text("SmolLM2")
    browser.type(PARIS + ENTER)
    browser.wait_for_text("Paris.")
    assert browser.requested_hosts() == {f"127.0.0.1:{served.port}"}
    assert not [text for text in browser.messages() if "Content Security Policy" in text]
    second = browser.new_tab()
    browser.open(served.url)
    browser.wait_for_text(PARIS[:12])  # in its list of conversations
    browser.type("What is the capital of Italy?" + ENTER)
    browser.wait_for_text("Rome")
    assert len(processes(served, "baize_tui.engine.worker")) == 1
    assert len(processes(served, "baize_tui.cli.web_tab")) == 2
    browser.type("q", hold=CONTROL)
    wait_for(lambda: browser.run("return document.body.classList.contains('-closed')"))
    browser.go_to(first)
    browser.type("And of Spain?" + ENTER)
    browser.wait_for_text("Madrid")
    browser.go_to(second)
    browser.close_tab()
    browser.go_to(first)
    browser.close_tab()
    wait_for(lambda: not processes(served, "baize_tui.cli.web_tab"))


# --- a page without a browser -------------------------------------------------------------------


@asynccontextmanager
async def page(served: Web) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The websocket of a page, once its client shows the prompt."""
    origin = f"http://127.0.0.1:{served.port}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{served.url}ws?width=90&height=24", origin=origin) as websocket,
    ):
        await wait_for_bytes(websocket, b"Ask something")
        yield websocket


async def wait_for_bytes(websocket: aiohttp.ClientWebSocketResponse, wanted: bytes) -> None:
    written = b""
    async for message in websocket:
        if message.type == aiohttp.WSMsgType.BINARY:
            written += message.data
        if wanted in written:
            return
    raise AssertionError(f"{wanted!r} did not come: {written!r}")


async def type_keys(websocket: aiohttp.ClientWebSocketResponse, keys: str) -> None:
    await websocket.send_json(["stdin", keys])


def drafts(paths: Paths) -> str:
    """What the store has of messages that were not sent."""
    with sqlite3.connect(paths.conversations_file) as connection:
        return str(connection.execute("SELECT parts FROM unsent").fetchall())


async def test_a_page_that_is_closed_loses_no_words(served: Web, paths: Paths) -> None:
    async with page(served) as websocket:
        await type_keys(websocket, "half a question")
        await wait_for_bytes(websocket, b"question")
    await wait_until(lambda: not processes(served, "baize_tui.cli.web_tab"))
    assert "half a question" in drafts(paths)


async def test_all_ends_with_a_server_that_is_killed(served: Web, paths: Paths) -> None:
    async with page(served) as websocket:
        await type_keys(websocket, "half a question")
        await wait_for_bytes(websocket, b"question")
        started = descendants_of(served.process.pid)
        assert len(started) == 2, started
        served.process.kill()
        await wait_until(lambda: not any(map(is_running, started)))
    assert "half a question" in drafts(paths)


# --- who may read along -------------------------------------------------------------------------

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
GUESSES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "no secret": ("/", []),
    "another secret": ("/plum/", []),
    "a prefix of the secret": ("PREFIX/", []),
    "the secret further down": ("/x/PATH", []),
    "the name of this computer": ("PATH", [("Host", "localhost:PORT")]),
    "DNS rebinding": ("PATH", [("Host", "evil.example:PORT"), ("Origin", "http://evil.example")]),
    "two hosts": ("PATH", [("Host", "127.0.0.1:PORT"), ("Host", "evil.example")]),
    "another page": ("PATH", [("Host", "127.0.0.1:PORT"), ("Origin", "https://evil.example")]),
    "another port": ("PATH", [("Host", "127.0.0.1:PORT"), ("Origin", "http://127.0.0.1:1")]),
    "a page without an origin": ("PATH", [("Host", "127.0.0.1:PORT"), ("Origin", "null")]),
}
PARTS = ("", "ws", "static/js/textual.js", "page/focus.js", "download/x")


def status(served: Web, path: str, headers: Iterable[tuple[str, str]]) -> tuple[int, Any]:
    """The status of the answer to a request, and its headers."""

    def fill(text: str) -> str:
        secret = served.path.rstrip("/")
        filled = text.replace("PREFIX", secret[:-1]).replace("PATH", served.path)
        return filled.replace("PORT", str(served.port))

    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    connection.putrequest("GET", fill(path), skip_host=True)
    for name, value in headers:
        connection.putheader(name, fill(value))
    connection.endheaders()
    response = connection.getresponse()
    connection.close()
    return response.status, response.headers


def test_nobody_else_gets_an_answer(asked: Web) -> None:
    """Neither another user of this computer, nor a page in the person's own browser."""
    for guess, (path, headers) in GUESSES.items():
        own = headers or [("Host", "127.0.0.1:PORT")]
        for part in PARTS:
            got, _ = status(asked, path + part, [*own, *HANDSHAKE.items()])
            assert got in (400, 404), (guess, part)
    assert not processes(asked, "baize_tui.cli.web_tab"), "no client was started"


def test_the_page_may_load_nothing_from_elsewhere_and_be_in_no_frame(asked: Web) -> None:
    got, headers = status(asked, "PATH", [("Host", "127.0.0.1:PORT")])
    assert got == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    sources = policy.replace(f"ws://127.0.0.1:{asked.port}", "")
    assert "://" not in sources


def test_it_listens_on_this_computer_alone(asked: Web) -> None:
    connections = psutil.Process(asked.process.pid).net_connections()
    listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", asked.port)]


# --- what cannot be served ----------------------------------------------------------------------


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_here(["web", "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"baize-tui: port {port} is in use by another program: choose another one with --port\n"
    )


def test_without_the_library_the_line_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert run_here(["web"]) == 1
    assert "pip install 'baize-tui[web]'" in capsys.readouterr().err

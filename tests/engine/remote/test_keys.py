"""A key reaches its own host, and nothing and nobody else."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path

import pytest

from baize_shared.server_address import parse_address
from baize_tui.engine.client import EngineFailure
from baize_tui.engine.remote.server_keys import find_key
from tests.engine.remote.asking import NO_KEYS, ask, load_failure, loaded
from tests.engine.remote.streaming_server import (
    StreamingServer,
    refuse,
    send,
    serve,
    stream,
)

KEY = "sk-plum-0123456789"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "server-keys.toml"


def write_keys(file: Path, **by_host: str) -> Path:
    file.write_text("".join(f'"{host}" = "{key}"\n' for host, key in by_host.items()), "utf-8")
    file.chmod(0o600)
    return file


def keys_sent(server: StreamingServer) -> set[str]:
    return {received.key for received in server.received}


async def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as server, serve() as other:
        monkeypatch.setenv("BAIZE_SERVER_KEY", f"{server.host}={KEY}")
        for each in (server, other):
            async with loaded(each) as engine:
                await ask(engine)
    assert keys_sent(server) == {KEY}
    assert keys_sent(other) == {""}, "it is the key of another port"


async def test_a_key_comes_from_a_private_file(keys: Path) -> None:
    with serve() as server, serve() as other:
        write_keys(keys, **{server.host: KEY})
        for each in (server, other):
            async with loaded(each, keys=keys) as engine:
                await ask(engine)
        assert keys_sent(server) == {KEY}
        assert keys_sent(other) == {""}
        keys.chmod(0o640)
        assert await load_failure(server.spec, keys) == (
            f"others can read the keys in {keys}: chmod 600 {keys}"
        )


async def test_a_key_comes_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    class KeyringError(Exception):
        pass

    keyring = types.ModuleType("keyring")
    with serve() as server:
        stored = {("baize-tui", server.host): KEY}
        keyring.get_password = lambda service, host: stored.get((service, host))  # type: ignore[attr-defined]
        keyring.errors = types.SimpleNamespace(KeyringError=KeyringError)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "keyring", keyring)
        async with loaded(server):
            assert keys_sent(server) == {KEY}

    def locked(_service: str, _host: str) -> str:
        raise KeyringError

    keyring.get_password = locked  # type: ignore[attr-defined]
    with serve() as server:
        async with loaded(server):
            assert keys_sent(server) == {""}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://api.openai.com/v1", True),
        ("https://api.openai.com", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com.example.org/v1", False),
        ("https://api.openai.com:8443/v1", False),
        ("https://example.org/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_the_key_of_openai_is_for_openai(
    url: str, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert (find_key(parse_address(url), NO_KEYS) == KEY) is found


async def test_what_the_library_reads_from_the_environment_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID")
    for name in names:
        monkeypatch.setenv(f"OPENAI_{name}", f"secret-{name}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: secret-header\nAuthorization: secret-a")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with serve() as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."
    for received in server.received:
        assert "secret" not in str(received)
        assert received.headers.keys() <= {
            *("host", "accept", "accept-encoding", "connection", "user-agent"),
            *("content-type", "content-length"),
        }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_gets_neither_key_nor_words(keys: Path, status: int) -> None:
    with serve() as target, serve() as server:
        write_keys(keys, **{server.host: KEY})
        there = f"http://{target.host}/v1/chat/completions"
        server.answers = [send(b"", status, "text/plain", Location=there)]
        async with loaded(server, keys=keys) as engine:
            line = (await ask(engine)).line
        assert target.received == []
        server.others["/v1/models"] = send(b"", status, "text/plain", Location=there)
        listed = await load_failure(server.spec, keys)
        assert target.received == []
    expected = f"{server.host} redirects to {target.host}, to which neither key nor words are sent"
    assert line.startswith(expected)
    assert listed.startswith(expected)


@pytest.mark.parametrize("location", ["", "//\x9b", "http://[", "ftp://a/b", "http://a:b@c/"])
async def test_a_redirect_to_anywhere_is_one_line(location: str) -> None:
    respond = send(b"", 302, "text/plain", Location=location)
    with serve(respond) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).line.startswith(f"{server.host} redirects to ")


async def test_a_key_is_in_no_message_and_no_log(
    keys: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    lines = []
    for status in (401, 403, 404, 400, 429, 500):
        with serve(refuse(status, f"Incorrect API key provided: {KEY}. " * 9)) as server:
            write_keys(keys, **{server.host: KEY})
            async with loaded(server, keys=keys) as engine:
                lines.append((await ask(engine)).line)
            server.others["/v1/models"] = refuse(status, f"the model has the key {KEY}")
            if status != 404:
                lines.append(await load_failure(server.spec, keys))
        assert KEY in keys_sent(server)
    assert KEY not in " ".join(lines)
    assert KEY not in caplog.text
    assert f"{server.host} has failed (500)" in lines[-1]


async def test_a_refused_key_is_said() -> None:
    with serve(refuse(401, "bad")) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAIZE_SERVER_KEY", f"{server.host}={KEY}")
        async with loaded(server) as engine:
            assert (await ask(engine)).line == f"{server.host} refuses the key (401)"


@pytest.mark.parametrize("key", ["two words", "a\x1b[0m", "caf\u00e9", "a\nX-Header: b"])
def test_what_is_no_key_is_refused_without_showing_it(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAIZE_SERVER_KEY", f"localhost={key}")
    with pytest.raises(EngineFailure) as caught:
        find_key(parse_address("http://localhost/v1"), NO_KEYS)
    assert str(caught.value) == "the key for localhost has characters that no key has"


@pytest.mark.parametrize("content", ['"a" = 7', "a = ", "[a]\nb = 'sk-plum'", "\xff"])
def test_a_broken_file_is_one_line_without_its_keys(keys: Path, content: str) -> None:
    keys.write_text(content, "latin-1")
    keys.chmod(0o600)
    with pytest.raises(EngineFailure) as caught:
        find_key(parse_address("http://localhost/v1"), keys)
    assert str(caught.value).startswith(f"{keys} is not a list of keys")
    assert "sk-plum" not in str(caught.value)


async def test_a_stream_that_repeats_the_key_as_an_error(keys: Path) -> None:
    from tests.engine.remote.streaming_server import stream_raw

    error = b'data: {"error": {"message": "your key is %s"}}\n\n' % KEY.encode()
    with serve(stream_raw(error), stream("So.")) as server:
        write_keys(keys, **{server.host: KEY})
        async with loaded(server, keys=keys) as engine:
            assert (await ask(engine)).line == f"{server.host}: your key is …"

"""Servers that refuse, stall, drop and lie: each fault is one line, and the text so far is kept."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from baize_shared.sanitizer import is_harmless
from tests.engine.remote.asking import ask, load_failure, loaded
from tests.engine.remote.streaming_server import (
    Handler,
    Respond,
    refuse,
    send,
    send_json,
    serve,
    stream,
    stream_raw,
)

HOSTILE = "no\r\n\x1b]0;title\x07\x9b31m\u202e\U000e0041\n" * 20
PAGE = send(b"<html><title>Sign in</title></html>", content_type="text/html")
DEEP = b"[" * 100_000


async def check_refused(respond: Respond, expected: str) -> None:
    """Ask a server that does not answer: the reason is one line with the ``expected`` words."""
    with serve(respond) as server:
        async with loaded(server) as engine:
            line = (await ask(engine)).line
    assert expected in line
    check_line(line, server.host)


# --- before and instead of an answer --------------------------------------------------------------


def behind_gateway(status: int, raw: str) -> Respond:
    """An error of a provider, as OpenRouter passes it on."""
    error = {"message": "Provider returned error", "code": status, "metadata": {"raw": raw}}
    return send_json({"error": error}, status)


def nested_gateways(count: int) -> dict[str, object]:
    """The error of a gateway behind a gateway behind a gateway …"""
    error: dict[str, object] = {"message": "the innermost"}
    for _ in range(count):
        error = {"message": "Provider returned error", "metadata": {"raw": error}}
    return error


REFUSALS: dict[str, tuple[Respond, str]] = {
    "401": (refuse(401, "bad key"), "wants a key (401): set BAIZE_SERVER_KEY to"),
    "403": (refuse(403, "not you"), "does not allow this (403): not you"),
    "404": (refuse(404), "has nothing at"),
    "404 of FastAPI": (send_json({"detail": "Not Found"}, 404), "has nothing at"),
    "404 model": (refuse(404, "The model plum does not exist"), "(404): The model plum does not"),
    "404 policy": (refuse(404, "No endpoints match your policy"), "(404): No endpoints match your"),
    "404 deployment": (refuse(404, "The API deployment does not exist."), "(404): The API deploym"),
    "404 path": (refuse(404, "Invalid URL (POST /chat/completions)"), "has nothing at"),
    "404 of nginx": (send(b"<html>404 Not Found</html>", 404, "text/html"), "has nothing at"),
    "behind a gateway": (
        behind_gateway(429, "plum is rate-limited upstream"),
        "gets too many requests (429): plum is rate-limited upstream",
    ),
    "behind a gateway, JSON": (
        behind_gateway(400, '{"error": {"message": "one image at most", "code": null}}'),
        "refuses the request (400): one image at most",
    ),
    "behind many gateways": (
        send_json({"error": nested_gateways(300)}, 502),
        "has failed (502): Provider returned error",
    ),
    "behind a gateway, nothing": (behind_gateway(502, ""), "has failed (502): Provider returned"),
    "no money": (
        send_json({"error": {"message": "no quota", "code": "insufficient_quota"}}, 429),
        "refuses the request (429): no quota",
    ),
    "405": (send(b"", 405, "text/plain"), "refuses the request (405)"),
    "429": (
        refuse(429, "slow down", Retry_After="19.6"),
        "gets too many requests (429); try again in 20 s: slow down",
    ),
    "429 without a time": (refuse(429), "gets too many requests (429)"),
    "429 with a lie": (refuse(429, Retry_After="1e99; \x9b"), "gets too many requests (429)"),
    "500": (refuse(500, "out of memory"), "has failed (500): out of memory"),
    "502 page": (send(b"<html>Bad gateway</html>", 502, "text/html"), "has failed (502)"),
    "503": (refuse(503, "loading"), "has failed (503): loading"),
    "hostile": (refuse(500, HOSTILE), "has failed (500): no"),
    "deep": (send(DEEP, 500), "has failed (500)"),
    "list": (send_json([7], 400), "refuses the request (400)"),
    "detail list": (send_json({"detail": [{"msg": "bad"}]}, 422), "refuses the request (422): bad"),
    "no body": (send(b"", 500), "has failed (500)"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_one_line(name: str) -> None:
    await check_refused(*REFUSALS[name])


NO_ANSWERS: dict[str, tuple[Respond, str]] = {
    "page": (PAGE, "answers with a web page: is the address right? The address usually ends with"),
    "nothing": (send(b""), "sends something that is no answer"),
    "JSON": (send_json({"choices": []}), "sends something that is no answer"),
    "no JSON": (stream_raw(b"data: {\n\n"), "sends something that is no answer"),
    "no UTF-8": (stream_raw(b"data: \xff\xfe\n\n"), "sends something that is no answer"),
    "deep": (stream_raw(b"data: " + DEEP + b"\n\n"), "sends something that is no answer"),
    "a number": (stream_raw(b"data: 7\n\n"), "sends something that is no answer"),
    "null": (stream_raw(b"data: null\n\n"), "sends something that is no answer"),
    "choices": (stream_raw(b'data: {"choices": [7]}\n\n'), "sends something that is no answer"),
    "delta": (
        stream_raw(b'data: {"choices": [{"delta": "text"}]}\n\n'),
        "sends something that is no answer",
    ),
    "content": (
        stream_raw(b'data: {"choices": [{"delta": {"content": {"a": 1}}}]}\n\n'),
        "sends something that is no answer",
    ),
    "an error": (
        stream_raw(b'data: {"error": {"message": "overloaded \\u009b"}}\n\n'),
        "overloaded",
    ),
    "vLLM's error": (
        stream_raw(b'data: {"object": "error", "message": "the GPU fell off", "code": 500}\n\n'),
        "the GPU fell off",
    ),
    "FastChat's error": (
        stream_raw(b'data: {"text": "the GPU fell off", "error_code": 50002}\n\n'),
        "the GPU fell off",
    ),
    "FastAPI's error": (
        stream_raw(b'data: {"detail": [{"msg": "the GPU fell off"}]}\n\n'),
        "the GPU fell off",
    ),
    "Zhipu's error": (
        send_json({"code": 1113, "msg": "no money left", "success": False}),
        "no money left",
    ),
    "an error that is not streamed": (
        send_json({"error": {"message": "no money left", "code": 402}}),
        "no money left",
    ),
    "compressed": (send(b"\x1f\x8b", Content_Encoding="gzip"), "compressed answer"),
    "endless": (stream_raw(*[b"x" * (1 << 20)] * 80), "more than 64 MiB"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_what_is_no_answer_is_one_line(name: str) -> None:
    await check_refused(*NO_ANSWERS[name])


def say_nothing(handler: Handler) -> None:
    handler.head(200, "text/event-stream", None)
    handler.wait()


@pytest.mark.parametrize(
    "respond",
    [
        stream_raw(b'data: {"error": {"message": "overloaded"}}\n\n'),
        stream_raw(b'data: {"object": "error", "message": "overloaded", "code": 503}\n\n'),
        say_nothing,
    ],
    ids=["an error", "an error without a key", "silence"],
)
async def test_a_question_whose_fault_is_known_is_not_asked_again(respond: Respond) -> None:
    with serve(respond) as server:
        async with loaded(server, silence_s=0.2) as engine:
            check_line((await ask(engine)).line, server.host)
    assert len(server.questions) == 1


# --- in the middle of an answer -------------------------------------------------------------------

BROKEN: dict[str, tuple[Respond, str]] = {
    "drops": (stream("Half ", "more", drop_at=1), "has closed the connection in the middle"),
    "no end": (stream("Half ", reason=None), "has stopped in the middle of its answer"),
    "no end, no mark": (
        stream("Half ", reason=None, done=False, usage=None),
        "has stopped in the middle of its answer",
    ),
    "error": (
        stream_raw(
            b'data: {"choices": [{"delta": {"content": "Half "}}]}\n\n',
            b'data: {"error": {"message": "the GPU fell off"}}\n\n',
        ),
        "the GPU fell off",
    ),
    "event of an error": (
        stream_raw(
            b'data: {"choices": [{"delta": {"content": "Half "}}]}\n\n',
            b'event: error\ndata: {"message": "the GPU fell off"}\n\n',
        ),
        "the GPU fell off",
    ),
    "error without a key": (
        stream_raw(
            b'data: {"choices": [{"delta": {"content": "Half "}}]}\n\n',
            b'data: {"object": "error", "message": "the GPU fell off", "code": 500}\n\n',
        ),
        "the GPU fell off",
    ),
    "line of an error": (
        stream_raw(
            b'data: {"choices": [{"delta": {"content": "Half "}}]}\n\n',
            b'{"error": {"message": "the GPU fell off"}}\n',
        ),
        "the GPU fell off",
    ),
    "text of an error": (
        stream_raw(
            b'data: {"choices": [{"delta": {"content": "Half "}}]}\n\n',
            b"event: error\ndata: the GPU fell off\n\n",
        ),
        "the GPU fell off",
    ),
    "no JSON": (
        stream_raw(b'data: {"choices": [{"delta": {"content": "Half "}}]}\n\n', b"data: {oops\n\n"),
        "sends something that is no answer",
    ),
    "stalls": (stream("Half ", "more", stall_at=1), "has sent nothing for 0.2 s"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_the_text_before_a_fault_is_kept(name: str) -> None:
    respond, expected = BROKEN[name]
    with serve(respond) as server:
        async with loaded(server, silence_s=0.2 if name == "stalls" else 60) as engine:
            answer = await ask(engine)
    assert expected in answer.line
    check_line(answer.line, server.host)
    assert answer.text == "Half "


async def test_a_fault_after_the_end_is_none() -> None:
    with serve(stream("So.", usage=None, drop_at=None, done=False)) as server:
        inner = server.answers[0]

        def hang_up_after(handler: Handler) -> None:
            inner(handler)
            handler.hang_up()

        server.answers = [hang_up_after]
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "So."


@pytest.mark.parametrize(
    ("reason", "meaning", "notice"),
    [
        ("eos", "stop", ""),
        ("\x1b[2J", "stop", ""),
        ("MAX_TOKENS", "length", ""),
        ("model_length", "length", ""),
        ("content_filter", "stop", "filter"),
        ("SAFETY", "stop", "filter"),
        ("tool_calls", "stop", "tool"),
        ("error", "stop", "broken off"),
    ],
)
async def test_other_ends_are_ends(reason: str, meaning: str, notice: str) -> None:
    with serve(stream("So.", reason=reason)) as server:
        async with loaded(server) as engine:
            end = (await ask(engine)).end
    assert (end.text, end.reason) == ("So.", meaning)
    assert notice in " ".join(end.notices)
    assert bool(end.notices) == bool(notice)


# --- connecting and loading -----------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def test_nobody_listens() -> None:
    port = free_port()
    line = await load_failure(f"server:http://127.0.0.1:{port}/v1#plum")
    assert line == f"no server listens at 127.0.0.1:{port}"


async def test_a_host_that_does_not_exist() -> None:
    line = await load_failure("server:http://no-such-host.invalid/v1#plum")
    assert line == "there is no host no-such-host.invalid, or no network"


async def test_a_server_without_tls() -> None:
    with serve() as server:
        line = await load_failure(server.spec.replace("http:", "https:"))
    assert line.startswith(f"{server.host} cannot prove who it is, or speaks no TLS")


async def test_a_server_that_is_not_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        import threading

        def greet() -> None:
            connection, _ = listening.accept()
            connection.recv(4096)
            connection.sendall(b"220 mail.example ESMTP\r\n")
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
        line = await load_failure(f"server:http://127.0.0.1:{port}/v1#plum")
    check_line(line, f"127.0.0.1:{port}")


LISTS: dict[str, tuple[Respond, str]] = {
    "page": (PAGE, "answers with a web page"),
    "text": (send(b"ok", content_type="text/plain"), "sends something that is no answer"),
    "no JSON": (send(b"{"), "sends something that is no answer"),
    "deep": (send(DEEP), "sends something that is no answer"),
    "number": (send_json(7), "sends something that is no answer"),
    "no list": (send_json({"data": {"id": "plum"}}), "sends something that is no answer"),
    "empty": (send_json({"data": []}), "has no model"),
    "null": (send_json({"object": "list", "data": None}), "has no model"),
    "bare": (send_json([{"id": "pear"}, {"id": "fig"}]), "choose a model of"),
    "first page": (send_json({"data": [{"id": "pear"}], "has_more": True}), "choose a model of"),
    "nameless": (send_json({"data": [7, {}, {"id": 7}, {"id": "\x9b"}]}), "has no model"),
    "several": (
        send_json({"data": [{"id": "pear"}, {"id": "fig"}]}),
        "choose a model of",
    ),
    "401": (refuse(401), "wants a key (401)"),
    "500": (refuse(500), "has failed (500)"),
    "404": (refuse(404), "has nothing at"),
}


@pytest.mark.parametrize("name", LISTS)
async def test_without_a_name_the_list_decides(name: str) -> None:
    respond, expected = LISTS[name]
    with serve() as server:
        server.others["/v1/models"] = respond
        line = await load_failure(f"server:{server.url}")
    assert expected in line
    if name == "several":
        assert line.endswith(f"as in server:{server.url}#pear: pear, fig")
    check_line(line, server.host)


async def test_the_only_model_needs_no_name_and_an_unknown_one_is_refused() -> None:
    with serve() as server:
        async with loaded(server, f"server:http://{server.host}") as engine:
            assert (await ask(engine)).end.text == "Hello there."
        assert server.questions[0]["model"] == "plum"
        line = await load_failure(f"server:{server.url}#pear")
    assert line == f"{server.host} has no model pear; it has plum"


@pytest.mark.parametrize(
    "answer",
    [
        refuse(403, "Missing scopes: api.model.read"),
        refuse(404),
        refuse(405),
        refuse(501),
        send_json({"data": [{"id": "pear"}], "has_more": True}),
        send_json({"data": None}),
    ],
    ids=["403", "404", "405", "501", "first page", "null"],
)
async def test_a_server_without_a_whole_list_is_taken_at_its_word(answer: Respond) -> None:
    with serve() as server:
        server.others["/v1/models"] = answer
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        ({"id": "openai/*"}, "openai/plum"),
        ({"id": "fruit/plum"}, "fruit/plum:nitro"),
        ({"id": "gpt-4o", "lifecycle_status": "generally-available"}, "my-deployment"),
    ],
    ids=["LiteLLM", "OpenRouter", "Azure"],
)
async def test_a_list_that_does_not_name_all_that_a_server_takes(
    listed: dict[str, object], wanted: str
) -> None:
    with serve() as server:
        server.lists({"id": "pear"}, {**listed, "context_length": 512})
        async with loaded(server, f"server:{server.url}#{wanted}") as engine:
            assert (await ask(engine)).end.text == "Hello there."
        assert server.questions[0]["model"] == wanted


CONTEXTS: dict[str, tuple[dict[str, object], int]] = {
    "vLLM": ({"owned_by": "vllm", "max_model_len": 8192}, 8192),
    "OpenRouter": ({"context_length": 32768}, 32768),
    "llama-server": ({"owned_by": "llamacpp", "meta": {"n_ctx_train": 2048}}, 2048),
    "unknown": ({}, 0),
    "a lie": ({"max_model_len": -1, "context_length": "many", "meta": [7]}, 0),
    "too large": ({"max_model_len": 2**70}, 0),
}


@pytest.mark.parametrize("name", CONTEXTS)
async def test_the_context_is_what_the_server_says(name: str) -> None:
    entry, n_ctx = CONTEXTS[name]
    with serve() as server:
        server.lists({"id": "plum", **entry})
        assert (await load(server.spec)).n_ctx == n_ctx


async def load(spec: str):  # type: ignore[no-untyped-def]
    from baize_tui.engine.client import ModelSpec
    from baize_tui.engine.remote.remote_engine import RemoteEngine

    engine = RemoteEngine(Path("/nowhere/keys.toml"))
    try:
        return await engine.load(ModelSpec(spec, context=0))
    finally:
        await engine.close()


async def test_llama_server_and_ollama_are_asked_in_their_own_way() -> None:
    with serve() as server:
        server.lists({"id": "plum", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131072}})
        server.others["/props"] = send_json({"default_generation_settings": {"n_ctx": 2048}})
        llama = await load(server.spec)
    with serve() as server:
        server.lists({"id": "plum:latest", "owned_by": "library"})
        shown = {"parameters": "stop x\nnum_ctx 8192", "model_info": {"a.context_length": 131072}}
        server.others["/api/show"] = send_json(shown)
        ollama = await load(server.spec)
    assert (llama.n_ctx, llama.backend) == (2048, "llama.cpp")
    assert (ollama.n_ctx, ollama.backend, ollama.name) == (8192, "ollama", "plum:latest")


async def test_nothing_is_logged_at_the_usual_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serve(stream("So.")) as server:
        async with loaded(server) as engine:
            await ask(engine)
    assert "Why?" not in caplog.text


def check_line(line: str, host: str) -> None:
    assert host in line
    assert "\n" not in line
    assert len(line) < 400
    assert all(map(is_harmless, line))
    assert "Traceback" not in line


def test_a_missing_library_is_one_line_that_says_how_to_install_it(home: Path) -> None:
    program = (
        "import sys; sys.modules['openai'] = None; from baize_tui.__main__ import main; "
        "sys.argv = ['baize-tui', 'ask', '--model', 'server:http://localhost:1#m', 'Hi']; main()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == (
        "baize-tui: models on servers need a library: pip install 'baize-tui[server]', or pip "
        "install openai\n"
    )

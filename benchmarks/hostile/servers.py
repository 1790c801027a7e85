"""Hostile answers of servers: of the hub, and of those that stream answers of a model."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from benchmarks.hostile.sandbox import Sandbox
from benchmarks.hostile.sandboxed_process import listening_socket, server_url
from benchmarks.hostile.subjects import Serving, Subject, Use
from tests.convert.hostile.hub_answers import HostileHub, handler_of
from tests.convert.hostile.mutations import mutate_json, mutate_text
from tests.engine.remote.streaming_server import (
    Handler,
    Respond,
    StreamingServer,
    delta,
    end,
    refuse,
    send,
    stream,
    stream_raw,
)
from tests.quiet_server import QuietServer
from tests.terminal.terminal_bytes import ATTACKS, NUL, SURROGATE, hostile


def _serving(handler: type[BaseHTTPRequestHandler]) -> Serving:
    def serve() -> None:
        server = QuietServer(("127.0.0.1", 0), handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listening_socket()
        server.serve_forever(0.01)

    return serve


def answering(*answers: Respond, models: Respond | None = None) -> tuple[str, Serving]:
    """What names a model on a server, and the server, which gives ``answers`` in turn."""
    script = StreamingServer(list(answers))
    script.lists({"id": "plum", "owned_by": "vllm", "max_model_len": 4096})
    if models is not None:
        script.others["/v1/models"] = models

    class Scripted(Handler):
        pass

    Scripted.script = script
    return f"server:{server_url()}/v1#plum", _serving(Scripted)


# --- the hub --------------------------------------------------------------------------------------


def _ask_hub(rng: random.Random, sandbox: Sandbox) -> Use:
    hub = HostileHub(random.Random(rng.random()), rng.choice((0.3, 0.6, 1.0)), url=server_url())
    uses = (
        ("baize-convert", ("plan", "hf:owner/name")),
        ("baize-tui", ("models", "plan", "hf:owner/name")),
        ("baize-tui", ("models", "plan", "hf:owner/name/model.gguf")),
        ("baize-tui", ("models", "pull", "hf:owner/name/model.gguf")),
    )
    program, arguments = rng.choice(uses)
    return Use(program, arguments, serving=_serving(handler_of(hub)))


# --- answers of models ----------------------------------------------------------------------------

_TEXTS: tuple[Callable[[], str], ...] = (
    *(lambda text=text: f"{text} after" for text in ATTACKS.values()),
    lambda: hostile("all", NUL, SURROGATE),
    lambda: "word " * 200_000,
    lambda: "x" * 1_000_000,
    lambda: "\x1b[31m" * 50_000,
    lambda: "🐉👩‍👩‍👧" * 20_000,
    lambda: "e" + "\u0301" * 20_000,
    lambda: "\n" * 30_000,
    lambda: "> " * 5_000 + "deep",
    lambda: "[" * 20_000 + "](" + "x" * 2_000,
    lambda: "| a " * 3_000 + "|\n" + "|---" * 3_000 + "|\n" + "| b " * 3_000 + "|",
    lambda: "```\x1b]0;1337\x07\n" + "code\x9b1337m\n" * 2_000,
    lambda: "$$" + "{" * 5_000 + "x" + "}" * 5_000 + "$$ \\frac" * 50,
    lambda: "<think>" * 200 + "</think>" * 100,
    lambda: "**_~~`" * 3_000,
    lambda: "".join(f"{' ' * (at % 200)}- item {at}\n" for at in range(2_000)),
    lambda: "\ud83d" * 5_000,
    lambda: "&#x1b;]0;1337&#7; <a href='javascript:alert(1)'>x</a> ![](file:///etc/passwd)",
    lambda: "[x](http://a\x1b]8;;b) <http://\u202e1337> [y](javascript:1)\n\n[z]: \x07",
)


def hostile_answer(rng: random.Random) -> str:
    """What a model might say."""
    text = rng.choice(_TEXTS)()
    return text if rng.random() < 0.7 else f"{rng.choice(_TEXTS)()}\n\n{text}"


def pieces_of(rng: random.Random, text: str) -> list[str]:
    """``text`` as a server streams it: cut anywhere, also within an escape sequence."""
    size = rng.choice((1, 3, 50, 5_000, len(text) or 1))
    size = max(size, len(text) // 300, 1)
    return [text[at : at + size] for at in range(0, len(text), size)]


def _ask_hostile_model(rng: random.Random, sandbox: Sandbox) -> Use:
    text = hostile_answer(rng)
    reasoning = pieces_of(rng, hostile_answer(rng)) if rng.random() < 0.3 else []
    model, serving = answering(stream(*pieces_of(rng, text), reasoning=reasoning))
    more = rng.choice(((), ("--json",), ("--show-thinking",)))
    return Use("baize-tui", ("ask", "Hi", "--model", model, *more), serving=serving)


def _events(rng: random.Random) -> list[bytes]:
    good: list[Any] = [
        delta(role="assistant", content=""),
        delta(content="Hello "),
        delta(content="there."),
        end("stop"),
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    ]
    spoiled = rng.sample(range(len(good)), rng.choice((1, 1, 2)))
    events = []
    for number, value in enumerate(good):
        raw, start, end_of_event = json.dumps(value).encode(), b"data: ", b"\n\n"
        if number in spoiled:
            raw = rng.choice((mutate_json, mutate_json, mutate_text))(rng, raw)
            start = rng.choice((start, start, start, b"data:", b"event: x\ndata: ", b""))
            end_of_event = rng.choice((end_of_event, end_of_event, b"\r\n\r\n", b"\n", b""))
        events.append(start + raw + end_of_event)
    return [*events, rng.choice((b"data: [DONE]\n\n", b"", b"data: [DONE]" * 9, b"\xff\xfe\n\n"))]


def _bad_response(rng: random.Random) -> Respond:
    text = hostile("Q", SURROGATE)
    match rng.randrange(7):
        case 0:
            return refuse(rng.choice((400, 401, 403, 404, 413, 422, 429, 500, 503)), text)
        case 1:
            return send(mutate_text(rng, b'{"error": {"message": "no"}}'), rng.choice((400, 500)))
        case 2:
            return send(b"<html>\x1b]0;1337\x07" + b"<b>" * 99_999, 200, "text/html")
        case 3:
            return send(mutate_json(rng, json.dumps(delta(content="x")).encode()))
        case 4:
            return stream_raw(*(b"data: x" * 100_000 for _ in range(9)))
        case 5:
            return stream_raw(*(b": keep-alive\n\n" for _ in range(5_000)))
        case _:
            return stream("Hel", "lo", drop_at=rng.choice((0, 1)))


def _ask_server(rng: random.Random, sandbox: Sandbox) -> Use:
    respond = stream_raw(*_events(rng)) if rng.random() < 0.6 else _bad_response(rng)
    models = None
    if rng.random() < 0.2:
        listed = b'{"object": "list", "data": [{"id": "plum", "max_model_len": 4096}]}'
        models = send(mutate_json(rng, listed))
    model, serving = answering(respond, models=models)
    if models is not None and rng.random() < 0.5:
        model = model.removesuffix("#plum")
    more = rng.choice(((), ("--json",)))
    return Use("baize-tui", ("ask", "Hi", "--model", model, *more), serving=serving)


SUBJECTS = (
    Subject("answers of a hub", 300, _ask_hub),
    Subject("responses of a server", 400, _ask_server),
    Subject("words of a model", 300, _ask_hostile_model),
)

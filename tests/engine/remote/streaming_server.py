"""An OpenAI-compatible server on 127.0.0.1 that streams, stalls, drops and lies as a test says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from tests.quiet_server import QuietServer

Respond = Callable[["Handler"], None]


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class StreamingServer:
    """What the server does; tests change it while it runs."""

    answers: list[Respond] = field(default_factory=list)
    """For the next questions; the last one stays."""
    others: dict[str, Respond] = field(default_factory=dict)
    """For other paths; all else is not found."""
    received: list[Received] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when a client closes the connection in the middle of an answer."""
    go_on: threading.Event = field(default_factory=threading.Event)
    """What a stalling answer waits for."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def spec(self) -> str:
        return f"server:{self.url}#plum"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The bodies of the requests for answers."""
        return [r.body for r in self.received if r.path.endswith("/chat/completions")]

    def lists(self, *models: dict[str, Any]) -> None:
        self.others["/v1/models"] = send_json({"object": "list", "data": list(models)})


class Handler(BaseHTTPRequestHandler):
    """Answers as the script of the server says."""

    script: StreamingServer
    received: Received
    """The request that is answered now."""
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed
            self.close_connection = True
            return
        self._answer(json.loads(body))

    def _answer(self, body: dict[str, Any]) -> None:
        script = self.script
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.received = Received(self.path, headers, body)
        script.received.append(self.received)
        if self.path.endswith("/chat/completions") and self.path not in script.others:
            answers = script.answers
            respond = answers.pop(0) if len(answers) > 1 else answers[0]
        else:
            respond = script.others.get(self.path, send_json({"detail": "Not Found"}, 404))
        try:
            respond(self)
        except ConnectionError:
            script.hung_up.set()
            self.close_connection = True

    def head(self, status: int, content_type: str, length: int | None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def write_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, value: Any) -> None:
        self.write_chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def wait(self) -> None:
        """Wait until the test goes on, or the client hangs up."""
        self.connection.settimeout(0.05)
        while not self.script.go_on.is_set():
            try:
                if self.connection.recv(1, socket.MSG_PEEK) == b"":
                    raise ConnectionResetError
            except TimeoutError:
                continue
        self.connection.settimeout(None)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def send(
    body: bytes, status: int = 200, content_type: str = "application/json", **headers: str
) -> Respond:
    """A whole response."""

    def respond(handler: Handler) -> None:
        handler.head(status, content_type, len(body), **headers)
        handler.wfile.write(body)

    return respond


def send_json(value: Any, status: int = 200, **headers: str) -> Respond:
    return send(json.dumps(value).encode(), status, **headers)


def refuse(status: int, message: str = "", **headers: str) -> Respond:
    """An error as OpenAI sends it."""
    return send_json({"error": {"message": message, "type": "test"}}, status, **headers)


def delta(**fields: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields}]}


def end(reason: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return {"object": "chat.completion.chunk", "choices": [choice]}


USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def stream(
    *pieces: str,
    reasoning: Sequence[str] = (),
    field: Literal["reasoning", "reasoning_content"] = "reasoning_content",
    reason: str | None = "stop",
    usage: Any = USAGE,
    stall_at: int | None = None,
    drop_at: int | None = None,
    done: bool = True,
) -> Respond:
    """An answer in ``pieces``; at ``stall_at`` of them it waits, at ``drop_at`` it hangs up."""

    def respond(handler: Handler) -> None:
        handler.head(200, "text/event-stream", None)
        handler.event(delta(role="assistant", content=""))
        for piece in reasoning:
            handler.event(delta(**{field: piece}))
        shown: list[str | None] = [*pieces, None]
        for number, part in enumerate(shown):
            if number == stall_at:
                handler.wait()
            if number == drop_at:
                handler.hang_up()
                return
            if part is not None:
                handler.event(delta(content=part))
        if reason is not None:
            handler.event(end(reason))
        if usage is not None:
            handler.event({"choices": [], "usage": usage})
        if done:
            handler.write_chunk(b"data: [DONE]\n\n")
        handler.write_chunk(b"")

    return respond


def stream_raw(*events: bytes) -> Respond:
    """An event stream of any bytes."""

    def respond(handler: Handler) -> None:
        handler.head(200, "text/event-stream", None)
        for event in events:
            handler.write_chunk(event)
        handler.write_chunk(b"")

    return respond


@contextmanager
def serve(*answers: Respond) -> Iterator[StreamingServer]:
    """A server with the model ``plum``, which it says is vLLM's unless a test changes it."""
    script = StreamingServer([*answers] or [stream("Hello ", "there.")])

    class Scripted(Handler):
        pass

    Scripted.script = script
    server = QuietServer(("127.0.0.1", 0), Scripted)
    script.port = server.server_port
    script.lists({"id": "plum", "owned_by": "vllm", "max_model_len": 4096})
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield script
    finally:
        script.go_on.set()
        server.shutdown()
        server.server_close()

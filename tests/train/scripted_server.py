"""An OpenAI-compatible server on 127.0.0.1 that answers, and fails, as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.quiet_server import QuietServer

Answer = Callable[[list[dict[str, str]]], str]


@dataclass
class Faults:
    """Failures to come; each is removed or counted down when it happens."""

    statuses: list[int] = field(default_factory=list)
    """Answers to the next requests, instead of text."""
    retry_after: str | None = None
    drops: int = 0
    """Connections that close without an answer."""
    stalls: threading.Event | None = None
    """Requests wait until this event is set."""
    cut: bool = False
    """Answers end at the maximum length."""
    usage: dict[str, int] | None = None
    """The usage that it reports."""
    body: bytes | None = None
    """What it sends in place of an answer."""


@dataclass
class ScriptedServer:
    answer: Answer
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    most_allowed: int | None = None
    """Requests at once before it answers 429."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    @property
    def spec(self) -> str:
        """Names the server on a command line."""
        return f"server:{self.address}"

    @property
    def address(self) -> str:
        return f"{self.url}/v1#teacher"


@contextmanager
def serve(answer: Answer) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer(answer)
    server = QuietServer(("127.0.0.1", 0), _handler(scripted))
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()


def _handler(scripted: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with scripted.lock:
                scripted.requests.append(request)
                scripted.keys.append(self.headers.get("Authorization", ""))
                scripted.at_once += 1
                scripted.most_at_once = max(scripted.most_at_once, scripted.at_once)
                many = scripted.at_once > (scripted.most_allowed or 10**9)
            try:
                self._answer(request, many=many)
            finally:
                with scripted.lock:
                    scripted.at_once -= 1

        def _answer(self, request: dict[str, Any], *, many: bool) -> None:
            faults = scripted.faults
            with scripted.lock:
                status = 429 if many else faults.statuses.pop(0) if faults.statuses else 200
                dropped = faults.drops > 0
                faults.drops -= dropped
            if faults.stalls is not None:
                faults.stalls.wait()
            if dropped:
                self.close_connection = True
                return
            if status != 200:
                self._send(status, {"error": {"message": "no", "type": "test"}})
                return
            if faults.body is not None:
                self._send_body(200, faults.body)
                return
            text = scripted.answer(request["messages"])
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            self._send(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": request["model"],
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "length" if faults.cut else "stop",
                            "message": {"role": "assistant", "content": text},
                        }
                    ],
                    "usage": usage if faults.usage is None else faults.usage,
                },
            )

        def _send(self, status: int, value: Any) -> None:
            self._send_body(status, json.dumps(value).encode())

        def _send_body(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if scripted.faults.retry_after is not None:
                self.send_header("Retry-After", scripted.faults.retry_after)
            self.end_headers()
            self.wfile.write(body)

    return Handler

"""An OpenAI-compatible server on 127.0.0.1 that answers, refuses and fails as a test says."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.engine.remote.streaming_server import Handler, Respond, refuse, send, send_json
from tests.engine.remote.streaming_server import serve as serve_http

Answer = Callable[[list[dict[str, str]]], str]
Interception = Callable[[dict[str, Any]], Respond | None]
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@dataclass
class RateLimit:
    """So many requests in a window that begins with its first one."""

    requests: int
    seconds: float
    says_when: bool = True
    """Whether a 429 has ``Retry-After``."""
    says_what_is_left: bool = False
    """Whether responses have OpenAI's headers."""
    _window: deque[float] = field(default_factory=deque)

    def take(self) -> float:
        """Count a request; 0, or the seconds until the next window if it is one too many."""
        now = time.monotonic()
        if self._window and now - self._window[0] >= self.seconds:
            self._window.clear()
        if len(self._window) >= self.requests:
            return self._window[0] + self.seconds - now
        self._window.append(now)
        return 0.0

    def headers(self) -> dict[str, str]:
        if not self.says_what_is_left:
            return {}
        left = self.requests - len(self._window)
        reset = self._window[0] + self.seconds - time.monotonic() if self._window else 0.0
        return {
            "x_ratelimit_remaining_requests": str(left),
            "x_ratelimit_reset_requests": f"{max(reset, 0):.3f}s",
        }


@dataclass
class Faults:
    """Failures to come; each is removed or counted down when it happens."""

    statuses: list[int] = field(default_factory=list)
    """Answers to the next requests, instead of text."""
    error: dict[str, Any] = field(default_factory=lambda: {"message": "no", "type": "test"})
    """What it says with such a status."""
    retry_after: str | None = None
    drops: int = 0
    """Connections that close without an answer."""
    stalls: threading.Event | None = None
    """Requests wait until this event is set."""
    delay_s: float = 0.0
    failing: float = 0.0
    """Part of the requests that get a 503, at random."""
    rate: RateLimit | None = None
    cut: bool = False
    """Answers end at the maximum length."""
    usage: dict[str, int] | None = None
    """The usage that it reports."""
    body: bytes | None = None
    """What it sends in place of an answer."""
    intercept: Interception = lambda request: None
    """What it sends to this request, if it is not an answer."""


@dataclass
class ScriptedServer:
    answer: Answer
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    answered: int = 0
    """Requests that got an answer."""
    failed: int = 0
    """Requests that ``faults.failing`` chose."""
    at_once: int = 0
    most_at_once: int = 0
    most_allowed: int | None = None
    """Requests at once before it answers 429."""
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: nobody waits for a slow answer."""
    url: str = ""

    @property
    def spec(self) -> str:
        """Names the server on a command line."""
        return f"server:{self.address}"

    @property
    def address(self) -> str:
        return f"{self.url}/v1#teacher"

    def respond(self, handler: Handler) -> None:
        request = handler.received.body
        with self.lock:
            self.requests.append(request)
            self.keys.append(handler.received.headers.get("authorization", ""))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            response = self._choose(request)
        try:
            if self.faults.stalls is not None:
                self.faults.stalls.wait()
            if self.faults.delay_s:
                self.ended.wait(self.faults.delay_s)
            (response or self._answer(request))(handler)
        finally:
            with self.lock:
                self.at_once -= 1

    def _choose(self, request: dict[str, Any]) -> Respond | None:
        """What it sends instead of an answer."""
        faults = self.faults
        if self.at_once > (self.most_allowed or 10**9):
            return self._refuse(429)
        if faults.rate is not None and (wait := faults.rate.take()):
            says = {"retry_after": f"{wait:.3f}"} if faults.rate.says_when else {}
            return refuse(429, "too many", **says)
        if faults.statuses:
            return self._refuse(faults.statuses.pop(0))
        if faults.drops:
            faults.drops -= 1
            return Handler.hang_up
        if faults.failing and self.chance.random() < faults.failing:
            self.failed += 1
            return self._refuse(503)
        if (intercepted := faults.intercept(request)) is not None:
            return intercepted
        self.answered += 1
        return send(faults.body) if faults.body is not None else None

    def _refuse(self, status: int) -> Respond:
        after = self.faults.retry_after
        headers: Any = {} if after is None else {"retry_after": after}
        return send_json({"error": self.faults.error}, status, **headers)

    def _answer(self, request: dict[str, Any]) -> Respond:
        faults = self.faults
        text = self.answer(request["messages"])
        usage = USAGE if faults.usage is None else faults.usage
        headers: Any = faults.rate.headers() if faults.rate is not None else {}
        reason = "length" if faults.cut else "stop"
        return send_json(completion(text, reason, usage, request["model"]), **headers)


def completion(
    content: Any, reason: str | None = "stop", usage: Any = USAGE, model: str = "", **more: Any
) -> dict[str, Any]:
    """An answer; ``more`` is part of its message."""
    message = {"role": "assistant", "content": content, **more}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "usage": usage,
    }


@contextmanager
def serve(answer: Answer) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer(answer)
    with serve_http(scripted.respond) as server:
        scripted.url = f"http://{server.host}"
        try:
            yield scripted
        finally:
            scripted.ended.set()

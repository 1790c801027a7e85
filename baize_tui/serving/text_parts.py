"""Messages whose content is a list of texts, as many clients send them, for a server whose chat
template takes only a text. A request is read whole for that, so it has a limit."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.serving.token_check import AsgiApp, Receive, Scope, Send

_MOST_BYTES = 64 << 20
"""Of a request; no context holds a tenth of that."""
_TOO_LARGE = (
    b'{"error": {"message": "the request has more than 64 MiB", "type": "invalid_request_error",'
    b' "param": null, "code": null}}'
)


class TextParts:
    """An ASGI application in front of ``app``."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            event = await receive()
            if event["type"] != "http.request":  # the client has gone
                return
            body += event.get("body", b"")
            more = event.get("more_body", False)
            if len(body) > _MOST_BYTES:
                headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
                await send({"type": "http.response.start", "status": 413, "headers": headers})
                await send({"type": "http.response.body", "body": _TOO_LARGE})
                return
        joined = join_text_parts(bytes(body))
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        headers.append((b"content-length", b"%d" % len(joined)))
        await self._app({**scope, "headers": headers}, _replay(joined, receive), send)


def join_text_parts(body: bytes) -> bytes:
    """The JSON of a request in which a content of nothing but texts is one text; anything
    else stays for the server to judge."""
    try:
        request = msgspec.json.decode(body)
    except JSON_ERRORS:
        return body
    messages = request.get("messages") if isinstance(request, dict) else None
    changed = False
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and all(map(_is_text, content)):
            message["content"] = "\n".join(part["text"] for part in content)
            changed = True
    return msgspec.json.encode(request) if changed else body


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _replay(body: bytes, receive: Receive) -> Receive:
    """``receive`` with ``body`` as the whole request."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> MutableMapping[str, Any]:
        return first.pop() if first else await receive()

    return receive_again

"""What clients send before llama-cpp-python's server reads it."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from baize_tui.serving.text_parts import TextParts, join_text_parts
from baize_tui.serving.token_check import Receive, Scope, Send

PARTS = [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
PICTURE = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "x"}}]


def test_a_list_of_texts_is_one_text() -> None:
    messages = [{"role": "user", "content": PARTS}, {"role": "assistant", "content": "Yes."}]
    joined = json.loads(join_text_parts(json.dumps({"n": 1, "messages": messages}).encode()))
    assert joined["n"] == 1
    assert [message["content"] for message in joined["messages"]] == ["One.\nTwo.", "Yes."]


@pytest.mark.parametrize(
    "body",
    [
        b"{oops",
        b"[" * 100_000,
        b"[1]",
        b'{"messages": 7}',
        b'{"messages": [7, {"content": null}]}',
        json.dumps({"messages": [{"role": "user", "content": PICTURE}]}).encode(),
    ],
    ids=["no JSON", "deep", "a list", "a number", "null", "a picture"],
)
def test_what_is_something_else_stays_as_it_is(body: bytes) -> None:
    assert join_text_parts(body) == body


async def post(*pieces: bytes) -> tuple[list[bytes], list[MutableMapping[str, Any]]]:
    """What the server reads of a request in ``pieces``, and what is answered before it."""
    read: list[bytes] = []
    sent: list[MutableMapping[str, Any]] = []
    waiting = [{"type": "http.request", "body": p, "more_body": True} for p in pieces[:-1]]
    waiting.append({"type": "http.request", "body": pieces[-1]})

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        assert dict(scope["headers"])[b"content-length"] == b"%d" % len(body)
        read.append(body)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"1")]}
    await TextParts(server)(scope, receive, send)
    return read, sent


async def test_the_server_reads_a_request_that_came_in_pieces() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": PARTS}]}).encode()
    read, sent = await post(body[:9], body[9:])
    assert json.loads(read[0])["messages"][0]["content"] == "One.\nTwo."
    assert sent == []


async def test_a_request_without_an_end_is_refused() -> None:
    read, sent = await post(*[b" " * (1 << 20)] * 65)
    assert (read, sent[0]["status"]) == ([], 413)

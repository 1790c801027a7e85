"""The events of a streamed answer, also of servers that do not keep to the letter of the format."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Mapping

import msgspec
import openai
from openai._streaming import ServerSentEvent, SSEDecoder

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.remote.error_bodies import find_error


class EventStream(openai.AsyncStream[object]):
    """The library's stream, which takes every event for a piece of an answer.

    Gateways keep a connection open with events that have no content. Some servers send the whole
    answer, or an error, as JSON although a stream was asked for.
    """

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        kind = self.response.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() == "application/json":
            body = (await self.response.aread()).decode("utf-8-sig", "replace")
            if not _is_stream(body):
                if body.strip():
                    yield ServerSentEvent(data=_with_error_key(body))
                return
        self._decoder = _TolerantDecoder()
        async for event in super()._iter_events():
            if event.event == "error":
                yield ServerSentEvent(event="error", data=_as_error(event.data))
            elif not _keeps_alive(event.data):
                yield ServerSentEvent(event=event.event, data=_with_error_key(event.data))


class _TolerantDecoder(SSEDecoder):
    """The library's decoder, for bytes that need not be UTF-8.

    Servers on Windows begin with a byte order mark, which the format allows. Some send a token that
    has half a character, as it is. Some do not end their last event, and some send JSON without
    the name of a field, as Ollama does with errors.
    """

    def decode(self, line: str) -> ServerSentEvent | None:
        return ServerSentEvent(data=line) if line.startswith("{") else super().decode(line)

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        is_over = False

        async def ended() -> AsyncIterator[bytes]:
            nonlocal is_over
            async for chunk in _as_utf8(iterator):
                yield chunk
            is_over = True
            yield b"\n\n"

        async for event in super().aiter_bytes(ended()):
            if not is_over or event.event or _is_json(event.data):  # or it was cut off
                yield event


async def _as_utf8(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """``chunks`` without a byte order mark, and with U+FFFD for what is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    async for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _keeps_alive(data: str) -> bool:
    """Whether an event has nothing, or a comment that a proxy has put into a field."""
    return not data.strip() or data.startswith(":")


def _is_stream(body: str) -> bool:
    """Whether ``body`` is a stream of events, whatever its type is called."""
    return body.lstrip().startswith(("data:", "event:", "id:", ":"))


def _is_json(data: str) -> bool:
    try:
        msgspec.json.decode(data)
    except JSON_ERRORS:
        return False
    return True


def _with_error_key(data: str) -> str:
    """``data``, an error with the key that the library looks for."""
    if '"choices"' in data:  # nearly all
        return data
    try:
        error = find_error(msgspec.json.decode(data))
    except JSON_ERRORS:
        return data
    return data if error is None else msgspec.json.encode({"error": error}).decode()


def _as_error(data: str) -> str:
    """The data of an error with the key that the library looks for."""
    try:
        error = msgspec.json.decode(data)
    except JSON_ERRORS:
        error = data
    if isinstance(error, Mapping) and error.get("error"):
        return data
    return msgspec.json.encode({"error": error or "error"}).decode()

"""Requests and events as lines of JSON."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.protocol.events import Event
from baize_tui.engine.protocol.requests import AnyRequest, Cancel, Request

LINE_LIMIT = 64 * 1024 * 1024
"""Longest line that either side accepts, in bytes; asyncio's own limit of 64 KiB is too small."""

_encoder = msgspec.json.Encoder()


class _Numbered(Struct):
    request: int


@cache
def _request_decoder() -> msgspec.json.Decoder[AnyRequest | Cancel]:
    # Made when first used: it takes milliseconds, which the client's first frame need not wait for.
    return msgspec.json.Decoder(AnyRequest | Cancel)


@cache
def _event_decoder() -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(Event)


def decode_request(line: bytes) -> AnyRequest | Cancel:
    """A request from its line.

    Raises:
        JSON_ERRORS: it is not one.
    """
    return _request_decoder().decode(line)


def request_number(line: bytes) -> int:
    """The number of the request in a line that is not a valid request; 0 if it has none."""
    try:
        return msgspec.json.decode(line, type=_Numbered).request
    except JSON_ERRORS:
        return 0


def decode_event(line: bytes) -> Event:
    """An event from its line.

    Raises:
        JSON_ERRORS: it is not one.
    """
    return _event_decoder().decode(line)


def encode_request(request: Request[Any, Any]) -> bytes:
    """``request`` as one line of JSON with its newline.

    Raises:
        msgspec.ValidationError: the worker could not read it: a number is out of range, or not
            finite, which JSON cannot express.
    """
    line = encode_line(request)
    decode_request(line)
    return line


def encode_line(message: Request[Any, Any] | Cancel | Event) -> bytes:
    """``message`` as one line of JSON with its newline."""
    return _encoder.encode(message) + b"\n"

"""Requests and events as lines of JSON."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from baize_tui.engine.protocol.events import Event
from baize_tui.engine.protocol.requests import AnyRequest, Cancel, Request

LINE_LIMIT = 64 * 1024 * 1024
"""Longest line that either side accepts, in bytes; asyncio's own limit of 64 KiB is too small."""

_encoder = msgspec.json.Encoder()


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
        msgspec.DecodeError: it is not one.
    """
    return _request_decoder().decode(line)


def decode_event(line: bytes) -> Event:
    """An event from its line.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return _event_decoder().decode(line)


def encode_line(message: Request[Any, Any] | Cancel | Event) -> bytes:
    """``message`` as one line of JSON with its newline."""
    return _encoder.encode(message) + b"\n"

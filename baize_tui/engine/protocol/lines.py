"""Requests and events as lines of JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from baize_tui.engine.protocol.events import Event
from baize_tui.engine.protocol.requests import AnyRequest, Cancel, Request

LINE_LIMIT = 64 * 1024 * 1024
"""Longest line that either side accepts, in bytes; asyncio's own limit of 64 KiB is too small."""

_encoder = msgspec.json.Encoder()
decode_request = msgspec.json.Decoder(AnyRequest | Cancel).decode
decode_event = msgspec.json.Decoder(Event).decode


def encode_line(message: Request[Any, Any] | Cancel | Event) -> bytes:
    """``message`` as one line of JSON with its newline."""
    return _encoder.encode(message) + b"\n"

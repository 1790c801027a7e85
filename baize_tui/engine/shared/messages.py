"""What the broker sends to a client: the events of the worker, and notices."""

from __future__ import annotations

from functools import cache

import msgspec
from msgspec import Struct

from baize_tui.engine.protocol import Event

SOCKET_NAME = "engine"
"""The name of the socket, in a folder that only its owner can enter."""


class Notice(Struct, frozen=True, tag="notice"):
    """Something is switched off because it crashed on this machine."""

    text: str


@cache
def _decoder() -> msgspec.json.Decoder[Event | Notice]:
    return msgspec.json.Decoder(Event | Notice)


def decode_message(line: bytes) -> Event | Notice:
    """A message from its line.

    Raises:
        JSON_ERRORS: it is not one.
    """
    return _decoder().decode(line)

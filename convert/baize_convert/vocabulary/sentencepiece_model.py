"""``tokenizer.model``: the pieces of a SentencePiece vocabulary, read without its library.

The file is a protobuf of which three fields a piece matter (sentencepiece_model.proto):
``ModelProto.pieces`` is field 1, a piece's text 1, score 2 (float) and type 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from baize_convert.failures import ConvertError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_LARGEST = 64 << 20


@dataclass(frozen=True)
class Piece:
    """A piece of text with its score; ``type`` is one of the numbers above."""

    text: str
    score: float
    type: int


def read_pieces(path: Path) -> list[Piece]:
    """The vocabulary in the order of its ids.

    Raises:
        ConvertError: not a SentencePiece model.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ConvertError(f"{path}: too large for a SentencePiece model")
        raw = path.read_bytes()
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    try:
        pieces = [
            _piece(body) for number, body in _fields(raw) if number == 1 and isinstance(body, bytes)
        ]
    except (IndexError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise ConvertError(f"{path}: not a SentencePiece model") from error
    if not pieces:
        raise ConvertError(f"{path}: not a SentencePiece model: it has no pieces")
    return pieces


def _piece(raw: bytes) -> Piece:
    text, score, type = "", 0.0, NORMAL
    for number, body in _fields(raw):
        if number == 1 and isinstance(body, bytes):
            text = body.decode("utf-8")
        elif number == 2 and isinstance(body, bytes):
            (score,) = struct.unpack("<f", body)
        elif number == 3 and isinstance(body, int):
            type = body
    return Piece(text, score, type)


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and content of each field of a protobuf message."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(raw, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(raw):
            raise IndexError("a field goes beyond the message")
        yield number, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")

"""``tokenizer.model``: the pieces of a SentencePiece vocabulary, read without its library.

The file is a protobuf (sentencepiece_model.proto). Field 1 of ``ModelProto`` are the pieces; in a
piece, field 1 is the text, 2 the score (float) and 3 the type, numbered as GGUF's ``TokenType``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gguf import TokenType

from baize_convert.failures import ConvertError
from baize_convert.sources.number_ranges import MOST_TOKENS

_LARGEST = 64 << 20
"""Bytes; larger files are refused."""
_MOST_FIELDS = MOST_TOKENS
"""Of a message; a piece of a vocabulary is a field."""
_TYPES = frozenset(map(int, TokenType))


@dataclass(frozen=True)
class Piece:
    """A token with its score and type; an unknown type counts as a normal one."""

    text: str
    score: float
    type: TokenType


def read_pieces(path: Path) -> list[Piece]:
    """The pieces in the order of their ids.

    Raises:
        ConvertError: the file cannot be read, or is not a SentencePiece model.
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
    text, score, type = "", 0.0, TokenType.NORMAL
    for number, body in _fields(raw):
        if number == 1 and isinstance(body, bytes):
            text = body.decode("utf-8")
        elif number == 2 and isinstance(body, bytes):
            (score,) = struct.unpack("<f", body)
        elif number == 3 and isinstance(body, int):
            type = TokenType(body) if body in _TYPES else TokenType.NORMAL
    return Piece(text, score, type)


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and content of each field of a protobuf message."""
    at = fields = 0
    while at < len(raw):
        fields += 1
        if fields > _MOST_FIELDS:
            raise ValueError("too many fields")
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
            raise IndexError("a field ends beyond the message")
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

"""``tokenizer.model``: the pieces and settings of a SentencePiece model, read without its library.

The file is a protobuf (sentencepiece_model.proto). Field 1 of ``ModelProto`` are the pieces, 2 the
trainer's settings, 3 those of the normalizer. In a piece, field 1 is the text, 2 the score (float)
and 3 the type, numbered as GGUF's ``TokenType``.
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
_UNIGRAM, _BPE = 1, 2
"""``TrainerSpec.ModelType``."""


@dataclass(frozen=True)
class Piece:
    """A token with its score and type; an unknown type counts as a normal one."""

    text: str
    score: float
    type: TokenType


@dataclass(frozen=True)
class SentencePieceModel:
    """The pieces in the order of their ids, and how text becomes pieces."""

    pieces: tuple[Piece, ...]
    is_bpe: bool
    normalization: str
    """The name of the rules that change characters, empty for none."""
    adds_dummy_prefix: bool
    removes_extra_spaces: bool
    escapes_spaces: bool
    space_is_suffix: bool


def read_sentencepiece_model(path: Path) -> SentencePieceModel:
    """Read a ``tokenizer.model``.

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
        model = _model(raw)
    except (IndexError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise ConvertError(f"{path}: not a SentencePiece model") from error
    if not model.pieces:
        raise ConvertError(f"{path}: not a SentencePiece model: it has no pieces")
    return model


def _model(raw: bytes) -> SentencePieceModel:
    pieces: list[Piece] = []
    trainer: dict[int, bytes | int] = {}
    normalizer: dict[int, bytes | int] = {}
    for number, body in _fields(raw):
        if not isinstance(body, bytes):
            continue
        if number == 1:
            pieces.append(_piece(body))
        elif number == 2:
            trainer.update(_fields(body))
        elif number == 3:
            normalizer.update(_fields(body))
    name, charsmap = normalizer.get(1, b""), normalizer.get(2, b"")
    return SentencePieceModel(
        pieces=tuple(pieces),
        is_bpe=trainer.get(3, _UNIGRAM) == _BPE,
        normalization=(name or b"charsmap").decode()
        if charsmap and isinstance(name, bytes)
        else "",
        adds_dummy_prefix=bool(normalizer.get(3, 1)),
        removes_extra_spaces=bool(normalizer.get(4, 1)),
        escapes_spaces=bool(normalizer.get(5, 1)),
        space_is_suffix=bool(trainer.get(24, 0)),
    )


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

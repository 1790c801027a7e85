"""The entries of a zip file, whose bytes are read in place.

Python's zipfile module believes the counts in the file, and makes an object of a kilobyte for each
entry. PyTorch stores its entries uncompressed, so their positions are all that is needed.

Format: section 4.3 of PKWARE's APPNOTE.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from baize_convert.sources.byte_source import ByteSource

_MOST_ENTRIES = 1 << 16
_LARGEST_DIRECTORY = 16 << 20
"""Bytes; an entry takes some 100."""
_LONGEST_COMMENT = 1 << 16
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_UNKNOWN_32 = 0xFFFFFFFF
"""A number that is in the extra field instead, in 64 bits."""


def read_zip_directory(file: ByteSource) -> dict[str, tuple[int, int]]:
    """Where the bytes of each entry begin, and how many there are, by its name.

    Raises:
        ValueError: entries are compressed, encrypted or overlap, or the names are not unique.
        IndexError, struct.error: the directory is damaged, or entries are outside the file.
    """
    offset, size, count = _find_directory(file)
    if count > _MOST_ENTRIES or size > _LARGEST_DIRECTORY:
        raise ValueError("its zip directory is too long")
    entries: dict[str, tuple[int, int]] = {}
    end = 0
    for name, header, length in sorted(
        _read_entries(file.read(offset, size), count), key=lambda entry: entry[1]
    ):
        start = _data_start(file, header, name)
        if header < end or start + length > offset:
            raise ValueError(f"{name!r} overlaps another entry")
        if name in entries:
            raise ValueError(f"{name!r} occurs twice")
        entries[name], end = (start, length), start + length
    return entries


def _find_directory(file: ByteSource) -> tuple[int, int, int]:
    """Offset, bytes and entries of the directory."""
    first = max(len(file) - _END.size - _LONGEST_COMMENT, 0)
    tail = file.read(first, len(file) - first)
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        raise IndexError("no directory")
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, at)
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\6\7"):
        _, _, position, _ = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)
        raw = _read_exactly(file, position, _END_64.size)
        magic, *_, count, size, offset = _END_64.unpack(raw)
        if magic != b"PK\6\6":
            raise IndexError("no directory")
    if offset + size > len(file):
        raise IndexError("the directory is beyond the file")
    return offset, size, count


def _read_entries(raw: bytes, count: int) -> Iterator[tuple[str, int, int]]:
    """Name, position of the local header and bytes of each entry."""
    at = 0
    for _ in range(count):
        fields = _ENTRY.unpack_from(raw, at)
        magic, _, _, flags, method, _, _, _, packed, length, name_size, extra_size = fields[:12]
        comment_size, header = fields[12], fields[16]
        at += _ENTRY.size
        name = raw[at : at + name_size].decode()
        extra = raw[at + name_size : at + name_size + extra_size]
        at += name_size + extra_size + comment_size
        if magic != b"PK\1\2" or at > len(raw):
            raise IndexError("the directory is damaged")
        length, packed, header = _numbers_64(extra, length, packed, header)
        if flags & 1:
            raise ValueError(f"{name!r} is encrypted")
        if method != 0 or length != packed:
            raise ValueError(f"{name!r} is compressed")
        yield name, header, length


def _numbers_64(extra: bytes, *numbers: int) -> list[int]:
    """``numbers``, with those that do not fit 32 bits from the extra field 1."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            large = (value for (value,) in struct.iter_unpack("<Q", _whole(extra, at + 4, size)))
            return [next(large, n) if n == _UNKNOWN_32 else n for n in numbers]
        at += 4 + size
    return list(numbers)


def _whole(extra: bytes, at: int, size: int) -> bytes:
    """The 64-bit numbers of an extra field; 32 bits for a disk number may follow them."""
    field = extra[at : at + size]
    return field[: len(field) // 8 * 8]


def _data_start(file: ByteSource, header: int, name: str) -> int:
    """Where an entry's bytes begin: after its local header, a name and an extra field."""
    encoded = name.encode()
    raw = _read_exactly(file, header, _LOCAL.size + len(encoded))
    magic, *_, name_size, extra_size = _LOCAL.unpack_from(raw)
    if magic != b"PK\3\4" or raw[_LOCAL.size :] != encoded or name_size != len(encoded):
        raise ValueError(f"{name!r} has another name in its own header")
    return header + _LOCAL.size + int(name_size) + int(extra_size)


def _read_exactly(file: ByteSource, start: int, size: int) -> bytes:
    if start + size > len(file):
        raise IndexError("beyond the file")
    return file.read(start, size)

"""The file of one block: consecutive tokens of a conversation, and the state that they gave.

The layout, with little-endian numbers:

=========  ========================================================
bytes      content
=========  ========================================================
8          ``BAIZEKV1``
16         BLAKE2b digest of everything that follows
4          bytes of the header, ``h``
``h``      ``BlockHeader`` as JSON
the rest   the state, as ``llama_state_seq_get_data`` writes it
=========  ========================================================

llama.cpp aborts on a truncated state and loads a damaged one without noticing. So nothing of a file
reaches it before the digest was checked.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Sequence
from io import BufferedReader
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import create_file
from baize_shared.regular_files import open_regular
from baize_tui.engine.snapshots.state_key import StateKey

SUFFIX, PARTIAL_SUFFIX = ".kv", ".partial"
_MAGIC = b"BAIZEKV1"
_DIGEST_BYTES = 16
_LENGTH = struct.Struct("<I")
_HEAD_BYTES = len(_MAGIC) + _DIGEST_BYTES + _LENGTH.size
_LARGEST_HEADER = 8 << 20
_LARGEST_FILE = 1 << 30
"""Many times as large as a block; what is larger must not be read into memory."""


class BlockHeader(Struct, frozen=True):
    """What a block holds, and what it may be used for."""

    key: StateKey
    start: int
    """Position of its first token."""
    prefix: str
    """``ids_digest`` of the tokens before it."""
    ids: list[int]
    state_bytes: int

    @property
    def end(self) -> int:
        """Position after its last token."""
        return self.start + len(self.ids)


class DamagedBlock(Exception):
    """The file is not a whole block; it can only be removed."""


def ids_digest(ids: Sequence[int]) -> str:
    """32 hex digits that stand for ``ids``."""
    packed = struct.pack(f"<{len(ids)}i", *ids)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()


def block_name(header: BlockHeader) -> str:
    """The file name: what is searched for first, and a digest that keeps branches apart."""
    own = ids_digest([header.start, *header.ids])[:12]
    return f"{header.key.digest}-{header.start:07d}-{header.prefix[:12]}-{own}{SUFFIX}"


def write_block(file: Path, header: BlockHeader, state: bytes | bytearray | memoryview) -> None:
    """Write a block completely, on disk before this returns, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    encoded = msgspec.json.encode(header)
    length = _LENGTH.pack(len(encoded))
    digest = hashlib.blake2b(length, digest_size=_DIGEST_BYTES)
    digest.update(encoded)
    digest.update(state)
    # The process id tells whether someone is still writing it.
    partial = file.with_name(f"{os.getpid()}-{os.urandom(4).hex()}{PARTIAL_SUFFIX}")
    try:
        with os.fdopen(create_file(partial), "wb") as target:
            target.write(_MAGIC + digest.digest() + length + encoded)
            target.write(state)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_header(file: Path) -> BlockHeader:
    """The header of ``file``; its digest is not checked, its length is.

    Raises:
        DamagedBlock: it is not a block, or it is truncated.
        OSError: it cannot be read.
    """
    with open_regular(file) as source:
        header, header_bytes = _parse_header(source.read(_HEAD_BYTES), source.read)
        whole = _HEAD_BYTES + header_bytes + header.state_bytes
        if _size(source) != whole:
            raise DamagedBlock(f"{file} is not {whole} bytes long")
    return header


def read_block(file: Path) -> tuple[BlockHeader, memoryview]:
    """A block whose digest is right: its header and its state.

    Raises:
        DamagedBlock: it is not a block, or it is truncated or changed.
        OSError: it cannot be read.
    """
    with open_regular(file) as source:
        content = bytearray(_size(source))
        if source.readinto(content) != len(content):
            raise DamagedBlock(f"{file} is truncated")
    view = memoryview(content)
    at = _HEAD_BYTES
    header, header_bytes = _parse_header(content[:at], lambda size: bytes(view[at : at + size]))
    state = view[at + header_bytes :]
    if len(state) != header.state_bytes:
        raise DamagedBlock(f"{file} does not have {header.state_bytes} bytes of state")
    checked = view[len(_MAGIC) + _DIGEST_BYTES :]
    digest = hashlib.blake2b(checked, digest_size=_DIGEST_BYTES).digest()
    if digest != view[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES]:
        raise DamagedBlock(f"{file} is damaged")
    return header, state


def _size(source: BufferedReader) -> int:
    """The bytes of a file.

    Raises:
        DamagedBlock: they are more than those of any block.
    """
    size = os.fstat(source.fileno()).st_size
    if size > _LARGEST_FILE:
        raise DamagedBlock(f"{size} bytes are too many for a block")
    return size


def _parse_header(head: bytes | bytearray, read: Callable[[int], bytes]) -> tuple[BlockHeader, int]:
    """The header after ``head``, and its bytes; ``read`` returns the next bytes.

    Raises:
        DamagedBlock: it is not the beginning of a block.
    """
    if len(head) < _HEAD_BYTES or not head.startswith(_MAGIC):
        raise DamagedBlock("the file is not a saved state")
    (size,) = _LENGTH.unpack_from(head, _HEAD_BYTES - _LENGTH.size)
    if size > _LARGEST_HEADER:
        raise DamagedBlock("the file has an endless header")
    try:
        return msgspec.json.decode(read(size), type=BlockHeader), size
    except JSON_ERRORS as error:
        raise DamagedBlock(f"the file has an unreadable header: {error}") from error

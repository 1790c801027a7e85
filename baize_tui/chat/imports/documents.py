"""The records in a file: a JSON list, an object, JSON Lines, or a ZIP archive with such files.

A record is decoded only when its turn comes, so a large file needs little more memory than its
size.
"""

from __future__ import annotations

import codecs
import json
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Raw

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sizes import size_text
from baize_tui.chat.imports.problems import ImportFailed
from baize_tui.shared_texts import NAMED, tr_shared
from baize_tui.translation import msg, tr

LARGEST_FILE = 1 << 30
"""Bytes of a file, and of a file in an archive; exports of many years have some hundred million."""
LARGEST_RECORD = 100_000_000
"""Bytes of one conversation."""
_UNSUSPICIOUS = 100_000_000
_HIGHEST_RATIO = 50
"""An archive that unpacks to more than ``_UNSUSPICIOUS`` bytes and more than this many times its
size is made to fill the memory; texts are packed to a fifth or a tenth."""
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_SQLITE = b"SQLite format 3\0"
_CONVERSATIONS = re.compile(r"(.*/)?conversations(-\d+)?\.json")
"""The files with conversations in the archives of ChatGPT and Claude; large ones have several."""

_BEFORE_JSON = re.compile(b"(?:" + codecs.BOM_UTF8 + rb")?\s*")

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape in JSON; a lone one is half of a character, as of an emoji that was cut in two."""


TOO_LARGE = msg("{file} is too large: {size}, the limit is {limit}")


def read_documents(path: Path) -> list[bytes]:
    """The files with conversations in ``path``: itself, or those in the archive that it is.

    Raises:
        ImportFailed: it cannot be read, is too large, or has none.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe could wait forever
            raise ImportFailed(tr("{path} is not a file", path=path))
        size = status.st_size
        if size > LARGEST_FILE:
            raise _too_large(str(path), size)
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
            if head.startswith(_ZIP):
                return list(_read_archive(path))
            if head == _SQLITE:
                raise ImportFailed(
                    tr("{file} is a backup: baize-tui sessions restore {file}", file=path)
                )
            file.seek(0)
            return [_read_limited(file, str(path))]
    except OSError as error:
        raise ImportFailed(tr(NAMED, name=path, why=tr_shared(error.strerror or error))) from error


def _read_archive(path: Path) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [i for i in archive.infolist() if _CONVERSATIONS.fullmatch(i.filename)]
            if not members:
                raise ImportFailed(tr("{file}: the archive has no conversations.json", file=path))
            total = sum(member.file_size for member in members)
            packed = sum(member.compress_size for member in members)
            if total > LARGEST_FILE or total > max(_UNSUSPICIOUS, packed * _HIGHEST_RATIO):
                raise _too_large(str(path), total)
            for member in sorted(members, key=lambda member: member.filename):
                with archive.open(member) as file:
                    yield _read_limited(file, f"{path}/{member.filename}")
    # An encrypted member raises RuntimeError, and a name in no encoding UnicodeDecodeError.
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
        *(RuntimeError, NotImplementedError, UnicodeDecodeError),
    ) as error:
        raise ImportFailed(
            tr("{file}: the archive cannot be read: {why}", file=path, why=error)
        ) from error


def _read_limited(file: object, name: str) -> bytes:
    content: bytes = file.read(LARGEST_FILE + 1)  # type: ignore[attr-defined]
    if len(content) > LARGEST_FILE:
        raise _too_large(name, len(content))
    return content


def _too_large(name: str, size: int) -> ImportFailed:
    limit = size_text(LARGEST_FILE)
    return ImportFailed(
        tr(
            "{file} is too large: {size}, the limit is {limit}",
            file=name,
            size=size_text(size),
            limit=limit,
        )
    )


def split_records(content: bytes) -> list[Raw]:
    """The elements of a JSON list, the objects of JSON Lines, or one object.

    Raises:
        ImportFailed: it is none of these.
    """
    encoding = json.detect_encoding(content[:4])
    if not encoding.startswith("utf-8"):  # UTF-16 is what PowerShell's ">" writes
        content = content.decode(encoding, "replace").encode()
    start = _BEFORE_JSON.match(content)
    assert start is not None
    if start.end():  # else a large file would be copied
        content = content[start.end() :]
    if not content:
        raise ImportFailed(tr("it is empty"))
    try:
        return _split(content)
    except JSON_ERRORS as error:
        repaired = _ESCAPE.sub(_without_lone_surrogate, content)
        try:
            if repaired != content:
                return _split(repaired)
        except JSON_ERRORS:
            pass  # that was not all that is wrong
        raise ImportFailed(tr("it is not JSON: {why}", why=tr_shared(error))) from error


def _split(content: bytes) -> list[Raw]:
    if content.startswith(b"["):
        return msgspec.json.decode(content, type=list[Raw])
    try:
        return [msgspec.json.decode(content, type=Raw)]
    except JSON_ERRORS:
        lines = [line for line in content.split(b"\n") if line.strip()]
        if len(lines) < 2:
            raise
        return [msgspec.json.decode(line, type=Raw) for line in lines]


def _without_lone_surrogate(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape["lone"] else escape[0]

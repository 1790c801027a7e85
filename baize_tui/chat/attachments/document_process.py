"""The process in which a PDF or Word file becomes text: ``python -m`` this module, with its kind.

The libraries may take any time and memory for a file that was made to harm, and nothing stops them
but the end of their process. The file is on stdin; lines of JSON leave on stdout: each text as soon
as it is read, and at the end what there is in all, or why the file cannot be read.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import time
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct

from baize_tui.translation import msg

DocumentKind = Literal["pdf", "docx"]
_MOST_MEMORY = 700 * 1000 * 1000
"""Bytes that the process may allocate."""
_SECONDS_OF_A_PAGE = 3
"""How long the process may compute for one page; no real one takes as long, and a busy machine
changes nothing."""
_SECONDS_OF_A_MEGABYTE = 50
"""How long it may compute for all pages, beyond those seconds: they may share what is slow."""
_MOST_UNPACKED = 200 * 1000 * 1000
"""Bytes of an unpacked Word file."""
_DRAWN = ("/Contents", "/Resources")
"""What the text of a page comes from."""
_PASSWORD = msg("it is protected by a password")
_TOO_LARGE = msg("it is too large once it is unpacked")
_MEMORY = msg("it takes too much memory")
_PDF_UNREADABLE = msg("the PDF cannot be read: {why}")
_WORD_UNREADABLE = msg("the Word file cannot be read: {why}")
PROBLEMS = (_PASSWORD, _TOO_LARGE, _MEMORY, _PDF_UNREADABLE, _WORD_UNREADABLE)
"""What the process says; it knows no language but English."""


class Piece(Struct, frozen=True, omit_defaults=True):
    """A line from the process."""

    text: str = ""
    pages: int | None = None
    """Of the whole document: the last line if all went well."""
    problem: str = ""
    """Why it cannot be read: the last line."""


class _Refused(Exception):
    """The document cannot be read, for a reason that is known."""


def read_pieces(kind: DocumentKind, file: BinaryIO) -> Iterator[Piece]:
    """The texts of a document, as far as it can be read."""
    try:
        yield from _read_pdf(file) if kind == "pdf" else _read_word(file)
    except _Refused as error:
        yield Piece(problem=str(error))
    except MemoryError:
        yield Piece(problem=_MEMORY)
    # What a damaged file makes a library stumble over can be anything; reading is all it does.
    except Exception as error:  # noqa: BLE001
        problem = _PDF_UNREADABLE if kind == "pdf" else _WORD_UNREADABLE
        yield Piece(problem=problem.format(why=error))


def _read_pdf(file: BinaryIO) -> Iterator[Piece]:
    from pypdf import PdfReader

    # Its warnings about damaged files would be printed on the screen.
    logging.getLogger("pypdf").addHandler(logging.NullHandler())
    logging.getLogger("pypdf").propagate = False
    reader = PdfReader(file)
    if reader.is_encrypted and not reader.decrypt(""):
        raise _Refused(_PASSWORD)
    total = len(reader.pages)
    texts: dict[str, str] = {}
    for page in reader.pages:
        _limit_time()
        drawn = repr([page.raw_get(key) for key in _DRAWN if key in page])
        # A small file may name one slow page thousands of times.
        if drawn not in texts:
            texts[drawn] = page.extract_text().strip()
        yield Piece(texts[drawn])
    yield Piece(pages=total)


def _read_word(file: BinaryIO) -> Iterator[Piece]:
    from docx import Document

    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MOST_UNPACKED:
            raise _Refused(_TOO_LARGE)
    for text in _blocks(Document(file)):
        yield Piece(text)
    yield Piece(pages=1)


def _blocks(document: object) -> Iterator[str]:
    """The texts of a document in order; the cells of a row have bars between them."""
    for block in document.iter_inner_content():  # type: ignore[attr-defined]
        if hasattr(block, "rows"):
            rows = (" | ".join(cell.text.strip() for cell in row.cells) for row in block.rows)
            text = "\n".join(rows)
        else:
            text = block.text
        if text.strip():
            yield text


def _limit_time() -> None:
    """Let the system end this process if it computes much longer than until now."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        of_all = _SECONDS_OF_A_PAGE + os.fstat(0).st_size / 1e6 * _SECONDS_OF_A_MEGABYTE
        until = min(math.ceil(time.process_time()) + _SECONDS_OF_A_PAGE, int(of_all))
        resource.setrlimit(resource.RLIMIT_CPU, (until, most))


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, most))


def main() -> None:
    kind = msgspec.convert(sys.argv[1], DocumentKind)
    _limit_memory()
    _limit_time()
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb") as file:
        for piece in read_pieces(kind, file):
            line = msgspec.json.encode(msgspec.structs.replace(piece, text=_encodable(piece.text)))
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


if __name__ == "__main__":
    main()

"""PDF and Word files as text, by the libraries of the extra ``files``, in their own process."""

from __future__ import annotations

import importlib.util
import io
import os
import select
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.chat.attachments.document_process import PROBLEMS, DocumentKind, Piece
from baize_tui.chat.attachments.errors import AttachmentFailed
from baize_tui.chat.attachments.text_decoding import DecodedText
from baize_tui.shared_texts import NAMED
from baize_tui.translation import msg, tr, tr_foreign

MISSING = msg("{name}: {kind} files need a library: pip install 'baize-tui[files]'")
_LIBRARIES: dict[DocumentKind, str] = {"pdf": "pypdf", "docx": "docx"}
_NAMES: dict[DocumentKind, str] = {"pdf": "PDF", "docx": "Word"}
_MOST_SECONDS = 30.0
"""A file that takes longer is cut."""
_READ = 1 << 16


def is_pdf(begin: bytes) -> bool:
    return b"%PDF-" in begin[:1024]


def is_word(raw: bytes) -> bool:
    """Whether ``raw`` is a Word file of the format of 2007 and later."""
    if not raw.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return "word/document.xml" in archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def pdf_text(raw: bytes, name: str) -> DecodedText:
    """The text of the pages of a PDF.

    Raises:
        AttachmentFailed: it cannot be read, has a password or no text, or the library is missing.
    """
    pages, total = _read("pdf", raw, name)
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise AttachmentFailed(tr("{name}: the PDF has no text; its pages are pictures", name=name))
    if total is None:
        return DecodedText(
            text, tr("only the first {count} pages: the rest took too long", count=len(pages))
        )
    return DecodedText(text)


def word_text(raw: bytes, name: str) -> DecodedText:
    """The paragraphs and tables of a Word file.

    Raises:
        AttachmentFailed: it cannot be read or has no text, or the library is missing.
    """
    blocks, total = _read("docx", raw, name)
    if not blocks:
        raise AttachmentFailed(tr("{name}: the Word file has no text", name=name))
    note = "" if total is not None else tr("only a part: it took too long")
    return DecodedText("\n\n".join(blocks), note)


def _read(kind: DocumentKind, raw: bytes, name: str) -> tuple[list[str], int | None]:
    """The texts of a document, and its pages; None if not all of them were read."""
    if importlib.util.find_spec(_LIBRARIES[kind]) is None:
        raise AttachmentFailed(tr(MISSING, name=name, kind=_NAMES[kind]))
    texts: list[str] = []
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.seek(0)
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "baize_tui.chat.attachments.document_process", kind],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                for piece in _pieces(process):
                    if piece.problem:
                        why = tr_foreign(piece.problem, PROBLEMS)
                        raise AttachmentFailed(tr(NAMED, name=name, why=why))
                    if piece.pages is not None:
                        return texts, piece.pages
                    texts.append(piece.text)
            finally:
                process.kill()
    if not texts:
        raise AttachmentFailed(tr("{name}: it takes too much time or memory to read", name=name))
    return texts, None


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[Piece]:
    """What the process sends, until its end, or until it takes too long."""
    assert process.stdout is not None
    output, buffer = process.stdout.fileno(), b""
    ends = time.monotonic() + _MOST_SECONDS
    while (left := ends - time.monotonic()) > 0:
        if not select.select([output], [], [], left)[0]:
            return
        chunk = os.read(output, _READ)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            try:
                yield msgspec.json.decode(line, type=Piece)
            except JSON_ERRORS:
                return

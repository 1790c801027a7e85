"""PDF and Word files as text, by the libraries of the extra ``files``."""

from __future__ import annotations

import io
import logging
import time
import zipfile
import zlib
from collections.abc import Iterator

from baize_tui.chat.attachments.errors import AttachmentFailed
from baize_tui.chat.attachments.text_decoding import DecodedText

MISSING = "{name}: {kind} files need a library: pip install 'baize-tui[files]'"
_MOST_SECONDS = 30.0
"""A file that takes longer is cut."""
_MOST_UNPACKED = 200 * 1000 * 1000
"""Bytes of an unpacked Word file."""


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
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ModuleNotFoundError as error:
        raise AttachmentFailed(MISSING.format(name=name, kind="PDF")) from error
    # Its warnings about damaged files would be printed on the screen.
    logging.getLogger("pypdf").addHandler(logging.NullHandler())
    logging.getLogger("pypdf").propagate = False
    ends = time.monotonic() + _MOST_SECONDS
    pages: list[str] = []
    try:
        reader = PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise AttachmentFailed(f"{name}: it is protected by a password")
        total = len(reader.pages)
        for page in reader.pages:
            pages.append(page.extract_text().strip())
            if time.monotonic() > ends and len(pages) < total:
                break
    except AttachmentFailed:
        raise
    # What a damaged file makes the library stumble over can be anything; reading is all it does.
    except (
        *(PyPdfError, ArithmeticError, AttributeError, LookupError, MemoryError),
        *(NotImplementedError, OSError, RecursionError, TypeError, ValueError, AssertionError),
        zlib.error,
    ) as error:
        raise AttachmentFailed(f"{name}: the PDF cannot be read: {error}") from error
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise AttachmentFailed(f"{name}: the PDF has no text; its pages are pictures")
    return DecodedText(text, f"{len(pages)} of {total} pages" if len(pages) < total else "")


def word_text(raw: bytes, name: str) -> DecodedText:
    """The paragraphs and tables of a Word file.

    Raises:
        AttachmentFailed: it cannot be read or has no text, or the library is missing.
    """
    try:
        from docx import Document
        from docx.opc.exceptions import OpcError
        from lxml.etree import LxmlError
    except ModuleNotFoundError as error:
        raise AttachmentFailed(MISSING.format(name=name, kind="Word")) from error
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_UNPACKED:
                raise AttachmentFailed(f"{name}: it is too large once it is unpacked")
        text = "\n\n".join(_blocks(Document(io.BytesIO(raw))))
    except AttachmentFailed:
        raise
    except (
        *(OpcError, LxmlError, zipfile.BadZipFile, AttributeError, LookupError, MemoryError),
        *(NotImplementedError, OSError, RecursionError, TypeError, ValueError),
    ) as error:
        raise AttachmentFailed(f"{name}: the Word file cannot be read: {error}") from error
    if not text:
        raise AttachmentFailed(f"{name}: the Word file has no text")
    return DecodedText(text)


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

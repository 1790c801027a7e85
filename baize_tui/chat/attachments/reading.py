"""The text of one file, whatever is in it; nobody waits for a pipe or reads a device."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from msgspec import Struct

from baize_shared.regular_files import open_regular
from baize_shared.sanitizer import clean_line, clean_text
from baize_shared.sizes import size_text
from baize_tui.chat.attachments.documents import is_pdf, is_word, pdf_text, word_text
from baize_tui.chat.attachments.errors import AttachmentFailed
from baize_tui.chat.attachments.secrets import secret_in_name, secret_in_text
from baize_tui.chat.attachments.text_decoding import DecodedText, decode_text
from baize_tui.shared_texts import NAMED, tr_shared
from baize_tui.translation import msg, tr

MOST_TEXT = 8 * 1000 * 1000
"""Bytes of a text that are read; no context holds more."""
MOST_DOCUMENT = 100 * 1000 * 1000
"""Bytes of a PDF or a Word file; a larger one is refused."""


class FileText(Struct, frozen=True):
    """A file as text."""

    name: str
    text: str
    notes: tuple[str, ...] = ()
    """What the person has to know, such as the encoding that was assumed."""
    left_out: int = 0
    """Bytes at the end that were not read."""
    secret: str = ""
    """Why it looks like a secret; empty if it does not."""


TOO_MUCH = msg("{name}: {size} are too much for a document; at most {most} are read")


def read_file(path: Path, name: str) -> FileText:
    """The text of the file ``path``, which is called ``name``.

    Raises:
        AttachmentFailed: it is no regular file, cannot be read, is too large, or is no text.
    """
    name = clean_line(name, 80)
    try:
        with open_regular(path) as opened:
            size = os.fstat(opened.fileno()).st_size
            raw = opened.read(MOST_TEXT)
            is_document = is_pdf(raw) or raw.startswith(b"PK\x03\x04")
            if is_document and size <= MOST_DOCUMENT:
                raw += opened.read(MOST_DOCUMENT)
    except (OSError, ValueError) as error:
        raise AttachmentFailed(tr(NAMED, name=name, why=_why(error))) from error
    if not raw.strip():
        raise AttachmentFailed(tr("{name}: it is empty", name=name))
    if is_document and size > MOST_DOCUMENT:
        most = size_text(MOST_DOCUMENT)
        raise AttachmentFailed(tr(TOO_MUCH, name=name, size=size_text(size), most=most))
    decoded = _read(raw, name, is_cut=size > len(raw))
    text = clean_text(decoded.text)
    notes = (decoded.note,) if decoded.note else ()
    secret = secret_in_name(path) or secret_in_text(text)
    return FileText(name, text, notes, max(size - len(raw), 0), secret)


def _read(raw: bytes, name: str, *, is_cut: bool) -> DecodedText:
    if is_pdf(raw):
        return pdf_text(raw, name)
    if is_word(raw):
        return word_text(raw, name)
    decoded = decode_text(raw, is_cut=is_cut)
    if decoded is None:
        raise AttachmentFailed(tr("{name}: it is not text", name=name))
    return decoded


def _why(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return tr("no file can have this name")
    match error.errno:
        case errno.ENOENT:
            return tr("there is no such file")
        case errno.EACCES | errno.EPERM:
            return tr("you may not read it")
        case errno.ELOOP:
            return tr("its symbolic links go in a circle")
        case errno.EISDIR:
            return tr("it is a folder")
        case errno.ENXIO:
            return tr("not a regular file")
    return tr_shared(error.strerror) if error.strerror else tr("it cannot be read")

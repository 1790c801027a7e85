"""PDF files of one page."""

from __future__ import annotations

from collections.abc import Sequence


def pdf(text: str) -> bytes:
    """A page with one line."""
    content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    return pdf_of(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))


def pdf_of(content: bytes, kids: bytes = b"[3 0 R]", count: bytes = b"1") -> bytes:
    """A file whose page has the stream ``content``; ``kids`` and ``count`` are its pages."""
    return _file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids " + kids + b" /Count " + count + b" >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
            b"/Resources << /Font << /F1 5 0 R >> >> >>",
            content,
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
    )


def pdf_of_pages(content: bytes, count: int) -> bytes:
    """A file of ``count`` different pages, all of which draw the stream ``content``."""
    kids = b" ".join(b"%d 0 R" % number for number in range(5, 5 + count))
    pages = [
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F%d 3 0 R /F1 3 0 R >> >> >>" % number
        for number in range(2, 2 + count)
    ]
    return _file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [" + kids + b"] /Count %d >>" % count,
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            content,
            *pages,
        ]
    )


def _file(objects: Sequence[bytes]) -> bytes:
    """``objects`` with their numbers, and the table of the places at which they begin."""
    raw, places = b"%PDF-1.4\n", []
    for number, value in enumerate(objects, 1):
        places.append(len(raw))
        raw += b"%d 0 obj\n" % number + value + b"\nendobj\n"
    size = len(objects) + 1
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(raw))
    return raw + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + trailer

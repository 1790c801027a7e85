"""Text files as other programs write them: their encoding, and the delimiter of a table."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from baize_shared.number_limits import LARGEST_INT
from baize_train.errors import TrainError

TABLES = (".csv", ".tsv")
_DELIMITERS = (",", "\t", ";", "|")
_DELIMITER_LINE = re.compile(r'"?sep=([^"\r\n])"?(?:\r\n|\n|\r)', re.IGNORECASE)
"""What Excel reads in the first line, and other programs write there for it."""
_PACKED = {
    b"\x1f\x8b": "compressed (gzip): unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed (Zstandard): unpack it first",
    b"BZh": "compressed (bzip2): unpack it first",
    b"\xfd7zXZ\x00": "compressed (xz): unpack it first",
    b"version https://git-lfs": "a pointer of Git LFS, not the data: run 'git lfs pull'",
    **dict.fromkeys(
        (b"<!doctype", b"<!DOCTYPE", b"<html"), "a web page: download the file itself, not its page"
    ),
    b"PAR1": "a Parquet file: give it a name that ends with .parquet",
    b"ARROW1": "an Arrow file: save it as Parquet, with to_parquet()",
    b"\xff\xff\xff\xff": "an Arrow file: save the dataset as Parquet, with to_parquet()",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV",
}
"""By the first bytes of a file."""


def without_bom(raw: bytes, file: Path) -> bytes:
    """The content of ``file`` in UTF-8: Windows writes UTF-16, and a mark in front of both.

    Raises:
        TrainError: it is compressed, or not the UTF-16 that its mark says.
    """
    check_kind(raw, file)
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return raw.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise TrainError(
                f"{file}: not UTF-16, as its first bytes say: {error.reason}"
            ) from error
    return raw.removeprefix(codecs.BOM_UTF8)


def check_kind(raw: bytes, file: Path) -> None:
    """Raises:
    TrainError: the first bytes, ``raw``, say that ``file`` is something else.
    """
    for start, what in _PACKED.items():
        if raw.startswith(start):
            raise TrainError(f"{file} is {what}")


def decode(raw: bytes, file: Path) -> str:
    """Raises:
    TrainError: it is not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TrainError(
            f"{file}:{line}: not UTF-8 (byte 0x{raw[error.start]:02x}): save it as UTF-8"
        ) from error


def table_rows(text: str, file: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table that are not empty, each with the line where it begins.

    Raises:
        TrainError: it is not a table.
    """
    csv.field_size_limit(LARGEST_INT)  # the usual limit is 128 KiB for one cell
    named = _DELIMITER_LINE.match(text)
    delimiter, above = (named[1], 1) if named else (_delimiter(text, file), 0)
    stream = io.StringIO(text[named.end() :] if named else text, newline="")
    rows = csv.reader(stream, delimiter=delimiter, strict=True)
    line = 1 + above
    try:
        for row in rows:
            start, line = line, rows.line_num + 1 + above
            if row:
                yield start, row
    except csv.Error as error:
        raise TrainError(f"{file}:{rows.line_num + above}: not a table: {error}") from error


def column_names(row: list[str], file: Path) -> list[str]:
    """The columns of a table whose first row is ``row``; those without a name are numbered.

    Raises:
        TrainError: two have the same name.
    """
    names = [name.strip() or f"column {number}" for number, name in enumerate(row, 1)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TrainError(f"{file}: two columns have the name {twice!r}: rename one")
    return names


def _delimiter(text: str, file: Path) -> str:
    """What separates the names of the columns: in a .csv, spreadsheets write what their country
    uses."""
    if file.suffix.lower() == ".tsv":
        return "\t"
    header = re.sub(r'"[^"]*"', "", re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0])
    return max(_DELIMITERS, key=header.count)  # the first of equal ones

"""The records in a file or a dataset, whatever they mean, each with its line.

Files are JSON Lines, a JSON list, one JSON object, CSV or Parquet; datasets are on the Hugging Face
Hub or in a folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.regular_files import open_regular
from baize_train.corpus.datasets import is_dataset, open_dataset
from baize_train.corpus.parsed_values import clean_value
from baize_train.corpus.text_tables import TABLES, column_names, decode, table_rows, without_bom
from baize_train.errors import TrainError

_PICKLES = (".pkl", ".pickle")
_TOO_DEEP = "nested too deeply"


class FileRecord(NamedTuple):
    """A record, or what is wrong with its line."""

    line: int
    """Where it begins, counted from 1; of a dataset the number of its row."""
    value: Any
    problem: str = ""


def read_file(file: Path) -> bytes:
    """The content of a file.

    Raises:
        TrainError: it cannot be read, or is empty.
    """
    try:
        with open_regular(file) as stream:
            raw = stream.read()
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    _check_not_empty(raw, file)
    return raw


def _check_not_empty(raw: bytes, file: Path) -> None:
    if not raw.strip():
        raise TrainError(f"{file} is empty")


def is_pickle(file: Path) -> bool:
    return file.suffix.lower() in _PICKLES


def read_records(file: Path) -> Iterator[FileRecord]:
    """Every record in ``file``, or in the dataset with this name, in order.

    Raises:
        TrainError: it cannot be read, is empty, or is none of the formats.
    """
    if is_dataset(str(file)):
        for number, row in enumerate(open_dataset(str(file)), 1):
            yield _record(number, row)
        return
    raw = without_bom(read_file(file), file)
    _check_not_empty(raw, file)
    if file.suffix.lower() in TABLES:
        yield from _table_records(raw, file)
    elif raw.lstrip()[:1] == b"[" and not _has_a_list_on_each_line(raw):
        yield from _list_items(decode(raw, file), file)
    else:
        yield from _lines(raw, file)


def _record(line: int, value: Any) -> FileRecord:
    try:
        return FileRecord(line, clean_value(value))
    except RecursionError:
        return FileRecord(line, None, _TOO_DEEP)


def _lines(raw: bytes, file: Path) -> Iterator[FileRecord]:
    """JSON Lines, or JSON values that each take several lines."""
    lines = raw.split(b"\n")  # only these: a text may contain U+2028
    first = next(line for line in lines if line.strip())
    if (problem := _parse(first).problem) and _spans_lines(raw, first):
        yield from _values(decode(raw, file), file)
        return
    if problem and all(_parse(line).problem for line in lines if line.strip()):
        kinds = "JSON Lines nor a JSON list"
        raise TrainError(f"{file}: neither {kinds}, and not .csv or .parquet: {problem}")
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parse(line)._replace(line=number)


def _has_a_list_on_each_line(raw: bytes) -> bool:
    """Whether JSON that begins with a list is JSON Lines: that list ends in its line, and there
    are more."""
    first, newline, _ = raw.strip().partition(b"\n")
    return bool(newline) and not _parse(first).problem


def _spans_lines(raw: bytes, first: bytes) -> bool:
    """Whether a JSON value begins in the ``first`` line and ends in another one; a brace alone
    does, also of a broken value."""
    if first.strip() == b"{":
        return True
    try:
        text = raw.decode("utf-8").lstrip()
        _, end = json.JSONDecoder().raw_decode(text)
    except JSON_ERRORS:
        return False
    return end > len(first.decode("utf-8").strip())


def _parse(line: bytes) -> FileRecord:
    try:
        return _record(0, json.loads(line))
    except UnicodeDecodeError as error:
        return FileRecord(0, None, f"not UTF-8 (byte 0x{line[error.start]:02x})")
    except JSON_ERRORS as error:
        return FileRecord(0, None, f"not JSON: {_describe(error)}")


def _describe(error: Exception) -> str:
    """What is wrong, with the column: the line is that of the file, which JSON does not know."""
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    if error.msg == "Extra data":
        return f"there is more after the record in column {error.colno}: one record to a line"
    return f"{error.msg.removesuffix(' starting at')} in column {error.colno}"


def _values(text: str, file: Path) -> Iterator[FileRecord]:
    """JSON values one after the other, as in a file with a single object."""
    decoder = json.JSONDecoder()
    at, line = _skip(text, 0), 1 + text.count("\n", 0, _skip(text, 0))
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except JSON_ERRORS as error:
            line = getattr(error, "lineno", line)
            raise TrainError(f"{file}:{line}: not JSON: {_describe(error)}") from error
        yield _record(line, value)
        following = _skip(text, end)
        line += text.count("\n", at, following)
        at = following


def _list_items(text: str, file: Path) -> Iterator[FileRecord]:
    """The items of a JSON list, with the lines where they begin."""
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    line = 1 + text.count("\n", 0, at)
    at, line = _advance(text, at, at + 1, line)
    while True:
        if text[at : at + 1] == "]":
            at, line = _advance(text, at, at + 1, line)
            if at < len(text):
                raise TrainError(f"{file}:{line}: there is more after the JSON list")
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except JSON_ERRORS as error:
            line = getattr(error, "lineno", line)
            raise TrainError(f"{file}:{line}: not a JSON list: {_describe(error)}") from error
        yield _record(line, value)
        at, line = _advance(text, at, end, line)
        if text[at : at + 1] == ",":
            at, line = _advance(text, at, at + 1, line)
        elif text[at : at + 1] != "]":
            raise TrainError(f"{file}:{line}: not a JSON list: it has no end")


def _advance(text: str, at: int, end: int, line: int) -> tuple[int, int]:
    """The next position that is not blank at or after ``end``, and its line."""
    following = _skip(text, end)
    return following, line + text.count("\n", at, following)


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in " \t\r\n":
        at += 1
    return at


def _table_records(raw: bytes, file: Path) -> Iterator[FileRecord]:
    rows = table_rows(decode(raw, file), file)
    _, header = next(rows)
    names = column_names(header, file)
    for line, row in rows:
        if len(row) > len(names):
            yield FileRecord(line, None, f"{len(row)} cells, but {len(names)} columns")
        else:
            # A cell cannot be left out: an empty one says that this row has no such part.
            yield FileRecord(
                line, {name: cell or None for name, cell in zip(names, row, strict=False)}
            )

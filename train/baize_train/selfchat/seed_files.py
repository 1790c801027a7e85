"""Seeds in files: lines of text, a column of a table, a key of JSON objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import without_surrogates
from baize_train.corpus.text_tables import TABLES, column_names, decode, table_rows, without_bom
from baize_train.errors import TrainError

_COLUMNS = ("seed", "question", "topic", "prompt", "instruction", "title", "text")
"""Names of columns that usually contain seeds, the most specific first."""


_LINE_END = re.compile(r"\r\n|\n|\r")


def read_seed_file(file: Path, column: str | None = None) -> Iterator[str]:
    """The seeds in ``file``: lines of a .txt, a column of a .csv, a key of a .jsonl.

    Raises:
        TrainError: it cannot be read, is not UTF-8, or has no such column.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    text = decode(without_bom(raw, file), file)
    suffix = file.suffix.lower()
    if suffix in TABLES:
        yield from read_column(_table_records(text, file), column, str(file))
    elif suffix in (".jsonl", ".json"):
        # All lines are parsed first, so that an invalid one is reported before the first dialogue.
        yield from read_column(list(_objects(text, file)), column, str(file))
    else:
        # Not splitlines, which also splits at U+2028 and at form feeds.
        yield from filter(None, map(str.strip, _LINE_END.split(text)))


def read_column(rows: Iterable[Any], column: str | None, source: str) -> Iterator[str]:
    """The texts of ``column``, or of the first known column; ``source`` is named in messages.

    Raises:
        TrainError: there is no such column.
    """
    name = None
    for row in rows:
        if name is None:
            name = column or next((known for known in _COLUMNS if known in row), None)
            if name is None or name not in row:
                raise TrainError(
                    f"{source}: no column {column or ' or '.join(_COLUMNS)}; the columns are "
                    f"{', '.join(map(str, row))}: choose one with --column"
                )
        value = without_surrogates(str(row.get(name) or "")).strip()
        if value:
            yield value


def _table_records(text: str, file: Path) -> Iterator[dict[str, Any]]:
    rows = table_rows(text, file)
    names = column_names(next(rows, (1, []))[1], file)
    for _, row in rows:
        yield dict(zip(names, row, strict=False))


def _objects(text: str, file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except JSON_ERRORS as error:
            raise TrainError(f"{file}:{number}: not JSON: {error}") from error
        if not isinstance(value, dict):
            raise TrainError(f"{file}:{number}: not an object")
        yield value

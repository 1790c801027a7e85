"""Seeds in files: lines of text, a column of a table, a key of JSON objects."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from baize_shared.counts import count_text
from baize_shared.sanitizer import without_surrogates
from baize_train.corpus.file_records import read_records
from baize_train.corpus.text_tables import TABLES, decode, without_bom
from baize_train.errors import TrainError, warn

_RECORDS = (*TABLES, ".jsonl", ".json")
_COLUMNS = ("seed", "question", "topic", "prompt", "instruction", "title", "text")
"""Names of columns that usually contain seeds, the most specific first."""


_LINE_END = re.compile(r"\r\n|\n|\r")


def read_seed_file(file: Path, column: str | None = None) -> Iterator[str]:
    """The seeds in ``file``: lines of a .txt, a column of a .csv, a key of a .jsonl or .json.

    Raises:
        TrainError: it cannot be read, is not UTF-8, or has no such column.
    """
    if file.suffix.lower() in _RECORDS:
        # All lines are parsed first, so that an invalid one is reported before the first dialogue.
        yield from read_column(list(_objects(file)), column, str(file))
        return
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    # Not splitlines, which also splits at U+2028 and at form feeds.
    lines = _LINE_END.split(decode(without_bom(raw, file), file))
    yield from filter(None, map(str.strip, lines))


def read_column(rows: Iterable[Any], column: str | None, source: str) -> Iterator[str]:
    """The texts of ``column``, or of the first known column of each row; rows without one are
    counted in a warning. ``source`` is named in messages.

    Raises:
        TrainError: there is no such column in the first row, or a value is not a text.
    """
    wanted = _COLUMNS if column is None else (column,)
    missing = 0
    for number, row in enumerate(rows):
        name = next((name for name in wanted if name in row), None)
        if name is None and not number:
            raise TrainError(
                f"{source}: no column {' or '.join(wanted)}; the columns are "
                f"{', '.join(map(str, row))}: choose one with --column"
            )
        missing += name is None
        text = _seed_text(row.get(name))
        if text is None:
            raise TrainError(
                f"{source}: {name} of record {number + 1} is neither a text nor messages with a "
                "question: choose another with --column"
            )
        if value := without_surrogates(text).strip():
            yield value
    if missing:
        rows_without = count_text(missing, "row")
        warn(f"{source}: left out {rows_without} without {' or '.join(wanted)}")


def _seed_text(value: Any) -> str | None:
    """A seed as text: of messages, as the prompts of pairs are, the first question. None if it is
    something else, which no model should be asked."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if math.isfinite(value) else ""  # pandas' empty cell is NaN
    turns = value if isinstance(value, list) else []
    asked = [turn.get("content") for turn in turns if _is_question(turn)]
    return asked[0] if asked and isinstance(asked[0], str) else None


def _is_question(turn: Any) -> bool:
    """Whether ``turn`` is a message of a user."""
    return isinstance(turn, dict) and turn.get("role") == "user"


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    for line, value, problem in read_records(file):
        if problem or not isinstance(value, dict):
            raise TrainError(f"{file}:{line}: {problem or 'not an object'}")
        yield value

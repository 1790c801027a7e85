"""Answers that a person marked as good or bad: records of any format with a ``label``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct

from baize_train.corpus.dialogues import Turn
from baize_train.corpus.file_records import is_pickle, read_records
from baize_train.corpus.judged_answers import LABEL_KEYS, is_pair, read_label
from baize_train.corpus.reading import NO_MAP, describe_unread
from baize_train.corpus.record_formats import FieldMap, parse_record
from baize_train.corpus.unreadable import UnreadableRecord
from baize_train.errors import warn

_SHOWN = 20
"""Warnings about single records."""


class MarkedAnswer(Struct, frozen=True):
    """An answer to the last of some turns."""

    question: list[Turn]
    answer: str
    good: bool


def has_marks(file: Path) -> bool:
    """Whether the first record of ``file`` is an answer with a ``label``. A pair is not, whatever
    label it has: its keys say which answer is good.

    Raises:
        TrainError: see ``read_records``.
    """
    if is_pickle(file):
        return False
    first = next((record.value for record in read_records(file) if not record.problem), None)
    if not isinstance(first, dict) or is_pair(first):
        return False
    return any(key in first for key in LABEL_KEYS)


def read_marks(files: Iterable[Path], fields: FieldMap = NO_MAP) -> list[MarkedAnswer]:
    """The marked answers in ``files``; other records are reported and skipped.

    Raises:
        TrainError: see ``read_records``.
    """
    marks: list[MarkedAnswer] = []
    problems: list[str] = []
    for file in files:
        unread: Counter[str] = Counter()
        for record in read_records(file):
            try:
                if record.problem:
                    raise UnreadableRecord(record.problem)
                marks.append(_parse_mark(record.value, file.name, fields, unread))
            except UnreadableRecord as error:
                problems.append(f"{file.name}:{record.line}: {error}; skipped")
        if unread:
            warn(f"{file.name}: {describe_unread(unread)}")
    _report(problems)
    return marks


def _parse_mark(record: Any, source: str, fields: FieldMap, unread: Counter[str]) -> MarkedAnswer:
    if is_pair(record):
        raise UnreadableRecord("it is a pair of answers: give pairs in a file of their own")
    label = read_label(record)
    if label is None:
        raise UnreadableRecord("its label is neither true nor false")
    unlabelled = {name: value for name, value in record.items() if name not in LABEL_KEYS}
    # Other records have no reader for a bad answer: nobody may train on it by mistake.
    turns = parse_record(unlabelled, source, fields, unread).messages
    if not turns:
        raise UnreadableRecord("it has no turns")
    *question, answer = turns
    if answer.role != "assistant" or not answer.content.strip():
        raise UnreadableRecord("it ends without an answer")
    if not question or not question[-1].content.strip():
        raise UnreadableRecord("nothing is asked in it")
    return MarkedAnswer(question, answer.content, label)


def _report(problems: list[str]) -> None:
    for problem in islice(problems, _SHOWN):
        warn(problem)
    if len(problems) > _SHOWN:
        warn(f"{len(problems) - _SHOWN} more invalid records were skipped")

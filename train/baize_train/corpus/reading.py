"""Read corpora in all known formats; records that are not a dialogue are reported and skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from baize_shared.sanitizer import clean_line, without_surrogates
from baize_train.corpus.baize_transcripts import parse_transcript
from baize_train.corpus.dialogues import Dialogue, dialogue_id
from baize_train.corpus.file_records import is_pickle, read_file, read_records
from baize_train.corpus.record_formats import FieldMap, parse_record
from baize_train.corpus.safe_pickle import read_pickle
from baize_train.corpus.unreadable import UnreadableRecord
from baize_train.errors import TrainError, warn

_SHOWN = 20
"""Warnings about single records; the rest are counted."""
_SHOWN_KEYS = 8
_MOST_PARTS = 10_000
"""Of one record in a pickle."""
NO_MAP: FieldMap = {}


class InvalidRecord(msgspec.Struct, frozen=True):
    """A record that is not a dialogue."""

    place: str
    """``FILE:LINE``, or of a dataset the number of its row."""
    problem: str
    """One line for the user."""


class PlacedRecord(NamedTuple):
    """A record with the line of its file where it begins."""

    place: str
    """``FILE:LINE``"""
    record: Dialogue | InvalidRecord


def read_dialogues(
    files: Iterable[Path], invalid: Counter[str] | None = None, fields: FieldMap = NO_MAP
) -> Iterator[Dialogue]:
    """The dialogues in ``files``; invalid records and unread keys are reported on stderr.

    ``invalid`` counts the skipped records by their problems. ``fields`` says where the parts of a
    dialogue are, if not where the known formats have them.

    Raises:
        TrainError: a file cannot be read, is empty, or is not a corpus.
    """
    skipped = 0
    for file in files:
        unread: Counter[str] = Counter()
        for record in read_corpus(file, fields, unread):
            if isinstance(record, Dialogue):
                yield record
                continue
            skipped += 1
            if invalid is not None:
                invalid[record.problem] += 1
            if skipped <= _SHOWN:
                warn(f"{record.place}: {record.problem}; skipped")
        if unread:
            warn(f"{file.name}: {describe_unread(unread)}")
    if skipped > _SHOWN:
        warn(f"{skipped - _SHOWN} more invalid records were skipped")


def describe_unread(unread: Mapping[str, int]) -> str:
    """Which keys with text were not read, for the user."""
    keys = [f"{key} ({count})" for key, count in Counter(unread).most_common(_SHOWN_KEYS)]
    more = f" and {len(unread) - len(keys)} more" if len(unread) > len(keys) else ""
    return f"keys with text that are not read: {', '.join(keys)}{more}"


def read_corpus(
    file: Path, fields: FieldMap = NO_MAP, unread: Counter[str] | None = None
) -> Iterator[Dialogue | InvalidRecord]:
    """Every record in ``file``, whatever the format, in order; see ``read_placed``."""
    for _, record in read_placed(file, fields, unread):
        yield record


def read_placed(
    file: Path, fields: FieldMap = NO_MAP, unread: Counter[str] | None = None
) -> Iterator[PlacedRecord]:
    """Every record in ``file`` with its place; ``unread`` counts the keys with text that are not
    read.

    Raises:
        TrainError: the file cannot be read, is empty, or is not a corpus.
    """
    unread = Counter() if unread is None else unread
    name = clean_line(file.name)
    if is_pickle(file):
        data = read_pickle(read_file(file), str(file))
        for number, record in enumerate(_pickled_dialogues(data, file), 1):
            yield PlacedRecord(f"{name}:{number}", record)
        return
    for line, value, problem in read_records(file):
        place = f"{name}:{line}"
        if problem:
            yield PlacedRecord(place, InvalidRecord(place, problem))
            continue
        try:
            yield PlacedRecord(place, parse_record(value, file.name, fields, unread))
        except UnreadableRecord as error:
            yield PlacedRecord(place, InvalidRecord(place, str(error)))


def _pickled_dialogues(data: Any, file: Path) -> Iterator[Dialogue | InvalidRecord]:
    """The original collector's pickle maps each seed to a transcript, or to a record with one."""
    if not isinstance(data, dict):
        raise TrainError(f"{file}: a pickle of a {type(data).__name__}, not of transcripts")
    for number, (topic, value) in enumerate(data.items(), 1):
        place = f"{file.name}:{number}"
        try:
            texts = list(islice(_nested_texts(value), _MOST_PARTS))
        except RecursionError:
            yield InvalidRecord(place, "nested too deeply")
            continue
        transcript = next((text for text in texts if "[AI]" in text or "[|AI|]" in text), None)
        if transcript is None:
            yield InvalidRecord(place, "no transcript with [AI] in it")
            continue
        topic = without_surrogates(str(topic))
        turns = parse_transcript(without_surrogates(transcript), topic)
        yield Dialogue(turns, dialogue_id(turns), clean_line(file.name), topic)


def _nested_texts(value: Any) -> Iterator[str]:
    """The texts in ``value``; an empty one for each list, so that the caller can stop: a small
    pickle may contain the same list a billion times."""
    if isinstance(value, str):
        yield value
        return
    yield ""
    if isinstance(value, dict):
        for item in value.values():
            yield from _nested_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _nested_texts(item)

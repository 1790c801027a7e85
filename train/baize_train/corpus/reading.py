"""Read corpora of every known format.

A corpus is JSON Lines, or one JSON list, of TRL's messages, ShareGPT's conversations, Alpaca's
instructions or Baize's transcripts; or a pickle of the original Baize collector.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import clean_line, without_surrogates
from baize_train.corpus.baize_transcripts import parse_transcript
from baize_train.corpus.dialogues import Dialogue, Role, Turn, dialogue_id
from baize_train.corpus.safe_pickle import read_pickle
from baize_train.errors import TrainError, warn

_SHOWN = 20
"""Warnings about single records; the rest are counted."""
_ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "ai": "assistant",
}


class InvalidRecord(msgspec.Struct, frozen=True):
    """A record that is not a dialogue."""

    place: str
    """``FILE:LINE``, or the record's number in a list."""
    problem: str
    """One line for the user."""


def read_dialogues(
    files: Iterable[Path], invalid: Counter[str] | None = None
) -> Iterator[Dialogue]:
    """The dialogues in ``files``; invalid records are reported on stderr and skipped.

    ``invalid`` counts the skipped records by their problems.

    Raises:
        TrainError: a file cannot be read, is empty, or is not a corpus.
    """
    skipped = 0
    for file in files:
        for record in read_corpus(file):
            if isinstance(record, Dialogue):
                yield record
                continue
            skipped += 1
            if invalid is not None:
                invalid[record.problem] += 1
            if skipped <= _SHOWN:
                warn(f"{record.place}: {record.problem}; skipped")
    if skipped > _SHOWN:
        warn(f"{skipped - _SHOWN} more invalid records were skipped")


def read_corpus(file: Path) -> Iterator[Dialogue | InvalidRecord]:
    """Every record in ``file``, whatever the format, in order.

    Raises:
        TrainError: the file cannot be read, is empty, or is not a corpus.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    if not raw.strip():
        raise TrainError(f"{file} is empty")
    if file.suffix in (".pkl", ".pickle"):
        yield from _pickled_dialogues(read_pickle(raw, str(file)), file)
        return
    for number, record in _parse_json(raw, file):
        if isinstance(record, InvalidRecord):
            yield record
        else:
            yield _parse_record(record, f"{file.name}:{number}", file.name)


def _parse_json(raw: bytes, file: Path) -> Iterator[tuple[int, Any]]:
    """The records of JSON Lines with their line numbers, or of one JSON list with their places."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if raw.lstrip()[:1] == b"[":
        try:
            records = without_surrogates(json.loads(raw))
        except JSON_ERRORS as error:
            raise TrainError(f"{file}: not a JSON list: {error}") from error
        yield from enumerate(records, 1)
        return
    lines = raw.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, without_surrogates(json.loads(line))
        except JSON_ERRORS as error:
            if number == 1 and not any(other.strip() for other in lines[1:]):
                raise TrainError(f"{file}: neither JSON Lines nor a JSON list: {error}") from error
            problem = f"not JSON: {error}"
            if isinstance(error, UnicodeDecodeError):
                problem = f"not UTF-8 (byte 0x{line[error.start]:02x})"
            yield number, InvalidRecord(f"{file.name}:{number}", problem)


def _parse_record(record: Any, place: str, source: str) -> Dialogue | InvalidRecord:
    if not isinstance(record, dict):
        return InvalidRecord(place, f"a {type(record).__name__}, not an object")
    for key, parse_turns in _PARSERS.items():
        if key in record:
            try:
                turns = parse_turns(record)
            except (TypeError, ValueError, KeyError) as error:
                return InvalidRecord(place, str(error))
            topic = record.get("topic")
            meta = record.get("meta")
            return Dialogue(
                messages=turns,
                id=str(record.get("id") or dialogue_id(turns)),
                source=str(record.get("source") or clean_line(source)),
                topic=topic if isinstance(topic, str) else "",
                meta=meta if isinstance(meta, dict) else {},
            )
    return InvalidRecord(place, f"it has none of the keys {', '.join(_PARSERS)}")


def _parse_turns(messages: Any, role_key: str, text_key: str) -> list[Turn]:
    if not isinstance(messages, list):
        raise TypeError("its turns are not a list")
    turns = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or role_key not in message or text_key not in message:
            raise ValueError(f"turn {number} has no {role_key} or no {text_key}")
        role = _ROLES.get(str(message[role_key]).lower())
        if role is None:
            raise ValueError(f"turn {number} has the unknown role {message[role_key]!r}")
        if not isinstance(message[text_key], str):
            raise TypeError(f"turn {number} is not text")
        turns.append(Turn(role, message[text_key].strip()))
    return turns


def _messages_turns(record: dict[str, Any]) -> list[Turn]:
    return _parse_turns(record["messages"], "role", "content")


def _sharegpt_turns(record: dict[str, Any]) -> list[Turn]:
    messages = record["conversations"]
    first = messages[0] if isinstance(messages, list) and messages else {}
    keys = ("from", "value") if "from" in first else ("role", "content")
    return _parse_turns(messages, *keys)


def _alpaca_turns(record: dict[str, Any]) -> list[Turn]:
    parts = [str(record["instruction"]).strip(), str(record.get("input") or "").strip()]
    return [
        Turn("user", "\n\n".join(part for part in parts if part)),
        Turn("assistant", str(record["output"]).strip()),
    ]


def _baize_turns(record: dict[str, Any]) -> list[Turn]:
    return parse_transcript(str(record["input"]), str(record.get("topic") or ""))


_PARSERS: dict[str, Callable[[dict[str, Any]], list[Turn]]] = {
    "messages": _messages_turns,
    "conversations": _sharegpt_turns,
    "instruction": _alpaca_turns,
    "input": _baize_turns,
}
"""By the key that identifies the format; ``instruction`` before ``input``: Alpaca has both."""


def _pickled_dialogues(data: Any, file: Path) -> Iterator[Dialogue | InvalidRecord]:
    """The original collector's pickle maps each seed to a transcript, or to a record with one."""
    if not isinstance(data, dict):
        raise TrainError(f"{file}: a pickle of a {type(data).__name__}, not of transcripts")
    for number, (topic, value) in enumerate(data.items(), 1):
        place = f"{file.name}:{number}"
        try:
            texts = [value] if isinstance(value, str) else list(_nested_texts(value))
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
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _nested_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _nested_texts(item)

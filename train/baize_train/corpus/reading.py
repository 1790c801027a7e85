"""The forms that corpora come in, and how each becomes dialogues."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from baize_shared.atomic_files import replace_when_complete
from baize_train.corpus.baize_transcripts import read_pickle, turns_of
from baize_train.corpus.dialogues import Dialogue, Role, Turn, id_of
from baize_train.errors import TrainError

FormatName = Literal["messages", "sharegpt", "alpaca", "baize"]
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


class Unreadable(msgspec.Struct, frozen=True):
    """A record that is no dialogue: where it stands, and why."""

    place: str
    why: str


Found = Iterator[Dialogue | Unreadable]


def read_corpus(file: Path) -> Found:
    """The dialogues in ``file``, whatever form it has, and the records that are none.

    JSON lines, or a JSON list, of messages, ShareGPT's conversations, Alpaca's instructions, or
    Baize's transcripts; a pickle of the original collector.

    Raises:
        TrainError: the file cannot be read, is empty, or is none of these.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    if not raw.strip():
        raise TrainError(f"{file} is empty")
    if file.suffix in (".pkl", ".pickle"):
        yield from _of_pickle(read_pickle(raw, str(file)), file)
        return
    for place, record in _records(raw, file):
        if isinstance(record, Unreadable):
            yield record
            continue
        yield _dialogue_of(record, f"{file.name}:{place}", file.name)


def _records(raw: bytes, file: Path) -> Iterator[tuple[int, Any]]:
    """The records of JSON lines, by line, or of one JSON list, by place."""
    if raw.lstrip()[:1] == b"[":
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise TrainError(f"{file}: not a JSON list: {error}") from error
        yield from enumerate(found, 1)
        return
    lines = raw.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == 1 and not any(other.strip() for other in lines[1:]):
                raise TrainError(f"{file}: neither JSON lines nor a JSON list: {error}") from error
            why = f"not JSON: {error}"
            if isinstance(error, UnicodeDecodeError):
                why = f"not UTF-8 (byte 0x{line[error.start]:02x})"
            yield number, Unreadable(f"{file.name}:{number}", why)


def _dialogue_of(record: Any, place: str, source: str) -> Dialogue | Unreadable:
    if not isinstance(record, dict):
        return Unreadable(place, f"a {type(record).__name__}, not an object")
    for key, read in _READERS.items():
        if key in record:
            try:
                turns = read(record)
            except (TypeError, ValueError, KeyError) as error:
                return Unreadable(place, str(error))
            topic = record.get("topic")
            meta = record.get("meta")
            return Dialogue(
                messages=turns,
                id=str(record.get("id") or id_of(turns)),
                source=str(record.get("source") or source),
                topic=topic if isinstance(topic, str) else "",
                meta=meta if isinstance(meta, dict) else {},
            )
    known = ", ".join(_READERS)
    return Unreadable(place, f"it has none of the keys {known}")


def _turns(said: Any, role_key: str, text_key: str) -> list[Turn]:
    if not isinstance(said, list):
        raise TypeError("its turns are no list")
    turns = []
    for number, one in enumerate(said, 1):
        if not isinstance(one, dict) or role_key not in one or text_key not in one:
            raise ValueError(f"turn {number} has no {role_key} or no {text_key}")
        role = _ROLES.get(str(one[role_key]).lower())
        if role is None:
            raise ValueError(f"turn {number} is of {one[role_key]!r}, who is neither of the two")
        if not isinstance(one[text_key], str):
            raise TypeError(f"turn {number} is no text")
        turns.append(Turn(role, one[text_key].strip()))
    return turns


def _of_messages(record: dict[str, Any]) -> list[Turn]:
    return _turns(record["messages"], "role", "content")


def _of_sharegpt(record: dict[str, Any]) -> list[Turn]:
    said = record["conversations"]
    first = said[0] if isinstance(said, list) and said else {}
    keys = ("from", "value") if "from" in first else ("role", "content")
    return _turns(said, *keys)


def _of_alpaca(record: dict[str, Any]) -> list[Turn]:
    asked = [str(record["instruction"]).strip(), str(record.get("input") or "").strip()]
    return [
        Turn("user", "\n\n".join(part for part in asked if part)),
        Turn("assistant", str(record["output"]).strip()),
    ]


def _of_baize(record: dict[str, Any]) -> list[Turn]:
    return turns_of(str(record["input"]), str(record.get("topic") or ""))


_READERS: dict[str, Callable[[dict[str, Any]], list[Turn]]] = {
    "messages": _of_messages,
    "conversations": _of_sharegpt,
    "instruction": _of_alpaca,
    "input": _of_baize,
}
"""By the key that tells the form; ``instruction`` before ``input``, which Alpaca has too."""


def _of_pickle(data: Any, file: Path) -> Found:
    """The original collector keeps transcripts by what was asked."""
    if not isinstance(data, dict):
        raise TrainError(f"{file}: a pickle of a {type(data).__name__}, not of transcripts")
    for number, (topic, found) in enumerate(data.items(), 1):
        place = f"{file.name}:{number}"
        texts = [found] if isinstance(found, str) else list(_texts_in(found))
        transcript = next((text for text in texts if "[AI]" in text or "[|AI|]" in text), None)
        if transcript is None:
            yield Unreadable(place, "no transcript with [AI] in it")
            continue
        turns = turns_of(transcript, str(topic))
        yield Dialogue(turns, id_of(turns), file.name, str(topic))


def _texts_in(found: Any) -> Iterator[str]:
    values = found.values() if isinstance(found, dict) else found
    for value in values if isinstance(values, list | tuple) or isinstance(found, dict) else []:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list | tuple):
            yield from _texts_in(value)


# --- writing ------------------------------------------------------------------------------------


def write_corpus(dialogues: Iterator[Dialogue], output: Path, form: FormatName) -> int:
    """Write ``dialogues`` as JSON lines in one of the forms; how many.

    Raises:
        TrainError: it cannot be written. What was there before under that name stays.
    """
    write = _WRITERS[form]
    count = 0
    try:
        with replace_when_complete(output) as partial, partial.open("wb") as file:
            for dialogue in dialogues:
                for record in write(dialogue):
                    file.write(msgspec.json.encode(record) + b"\n")
                count += 1
    except OSError as error:
        raise TrainError(f"{output}: {error.strerror}") from error
    return count


def _as_messages(dialogue: Dialogue) -> Iterator[Any]:
    yield dialogue


def _as_sharegpt(dialogue: Dialogue) -> Iterator[Any]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    said = [{"from": names[turn.role], "value": turn.content} for turn in dialogue.messages]
    yield {"id": dialogue.id, "conversations": said}


def _as_alpaca(dialogue: Dialogue) -> Iterator[Any]:
    """An instruction has no history: each question with its answer stands alone."""
    asked = ""
    for turn in dialogue.messages:
        if turn.role == "assistant":
            yield {"instruction": asked, "input": "", "output": turn.content}
        else:
            asked = turn.content


def _as_baize(dialogue: Dialogue) -> Iterator[Any]:
    names = {"user": "[|Human|]", "assistant": "[|AI|]"}
    lines = [f"{names[t.role]} {t.content}" for t in dialogue.messages if t.role != "system"]
    preamble = "The conversation between human and AI assistant."
    yield {"topic": dialogue.topic, "input": "\n".join([preamble, *lines, "[|Human|] "])}


_WRITERS: dict[FormatName, Callable[[Dialogue], Iterator[Any]]] = {
    "messages": _as_messages,
    "sharegpt": _as_sharegpt,
    "alpaca": _as_alpaca,
    "baize": _as_baize,
}

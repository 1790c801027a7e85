"""The formats of records: which keys tell them apart, and how they become dialogues."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from baize_shared.sanitizer import clean_line
from baize_train.corpus.baize_transcripts import parse_transcript
from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id
from baize_train.corpus.messages import UnreadableRecord, count_unread, parse_messages
from baize_train.errors import TrainError

MAP_ROLES = (
    *("messages", "role", "content", "user", "assistant", "system"),
    *("topic", "source", "teacher", "id"),
)
"""What ``--map ROLE=FIELD`` can name."""
FieldMap = Mapping[str, str]
"""Fields of a record by their roles."""
_ANSWER_KEYS = ("output", "response", "answer", "completion")
_SYSTEM_KEYS = ("system", "system_prompt")
_HUMAN_ASSISTANT = re.compile(r"\n\n(Human|Assistant): ?")


class _Record:
    """A record; remembers which of its keys were read."""

    def __init__(self, values: dict[str, Any], unread: Counter[str]) -> None:
        self.values, self.unread = values, unread
        self.read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def take(self, key: str) -> Any:
        self.read.add(key)
        return self.values.get(key)

    def take_text(self, *keys: str) -> str:
        """The text of the first of ``keys`` that there is.

        Raises:
            UnreadableRecord: there is none, or it is not text.
        """
        key = next((key for key in keys if key in self.values), None)
        if key is None:
            raise UnreadableRecord(f"it has no {' or '.join(keys)}")
        value = self.take(key)
        if value is None:
            raise UnreadableRecord(f"its {key} is null")
        if not isinstance(value, str):
            raise UnreadableRecord(f"its {key} is not text")
        return value

    def take_optional(self, *keys: str) -> str:
        """The text of the first of ``keys`` with one; empty if there is none."""
        for key in keys:
            value = self.values.get(key)
            if isinstance(value, str) and value.strip():
                self.read.add(key)
                return value
        return ""

    def messages(self, key: str) -> list[Turn]:
        return parse_messages(self.take(key), self.unread)


def parse_record(record: Any, source: str, fields: FieldMap, unread: Counter[str]) -> Dialogue:
    """The dialogue in a record.

    Args:
        record: JSON, or the row of a table.
        source: the name of its file.
        fields: where the parts of a dialogue are, if not where the known formats have them.
        unread: counts the keys with text that are not read.

    Raises:
        UnreadableRecord: it is none.
    """
    if not isinstance(record, dict):
        raise UnreadableRecord(f"a {type(record).__name__}, not an object")
    read = _Record(record, unread)
    turns = _mapped_turns(read, fields) if {"messages", "user"} & fields.keys() else None
    if turns is None:
        turns = _find_format(read)(read)
    _refuse_what_is_not_text(read)
    turns = _with_system(turns, _field(read, fields, "system", *_SYSTEM_KEYS))
    meta = read.take("meta")
    meta = dict(meta) if isinstance(meta, dict) else {}
    if teacher := _field(read, fields, "teacher", "teacher"):
        meta.setdefault("teacher", teacher)
    if rejected := read.take("rejected answer"):
        meta["rejected_answer"] = rejected
    given_id = read.take(fields.get("id", "id"))
    dialogue = Dialogue(
        messages=turns,
        id=str(given_id or dialogue_id(turns)),
        source=_field(read, fields, "source", "source") or clean_line(source),
        topic=_field(read, fields, "topic", "topic"),
        meta=meta,
    )
    count_unread(record, read.read, unread)
    return dialogue


def read_field_map(arguments: Sequence[str]) -> dict[str, str]:
    """The fields in ``ROLE=FIELD`` arguments.

    Raises:
        TrainError: one has another form, or a question has no answer.
    """
    fields: dict[str, str] = {}
    for argument in arguments:
        role, equals, field = argument.partition("=")
        if not equals or not field or role not in MAP_ROLES:
            raise TrainError(
                f"--map {argument}: write ROLE=FIELD, where ROLE is one of {', '.join(MAP_ROLES)}"
            )
        fields[role] = field
    if ("user" in fields) != ("assistant" in fields):
        raise TrainError("--map: give both user=FIELD and assistant=FIELD")
    if {"role", "content"} & fields.keys() and "messages" not in fields:
        raise TrainError("--map role=FIELD and content=FIELD need messages=FIELD")
    return fields


def _field(record: _Record, fields: FieldMap, role: str, *keys: str) -> str:
    if role in fields:
        return record.take_text(fields[role])
    return record.take_optional(*keys)


def _mapped_turns(record: _Record, fields: FieldMap) -> list[Turn]:
    if "messages" in fields:
        if fields["messages"] not in record:
            raise UnreadableRecord(f"it has no {fields['messages']}")
        messages = record.take(fields["messages"])
        return parse_messages(messages, record.unread, fields.get("role"), fields.get("content"))
    return [
        Turn("user", record.take_text(fields["user"])),
        Turn("assistant", record.take_text(fields["assistant"])),
    ]


def _with_system(turns: list[Turn], system: str) -> list[Turn]:
    if not system:
        return turns
    if turns and turns[0].role == "system":
        if turns[0].content != system:
            raise UnreadableRecord("it has two different system texts")
        return turns
    return [Turn("system", system), *turns]


def _refuse_what_is_not_text(record: _Record) -> None:
    for key, what in (("tools", "tools"), ("functions", "tools"), ("images", "images")):
        value = record.values.get(key)
        if value and value != "[]":
            raise UnreadableRecord(f"it has {what} ({key}), which cannot be trained")


# --- the formats ----------------------------------------------------------------------------------


def _from_messages(record: _Record) -> list[Turn]:
    turns = record.messages("messages")
    prompt = record.values.get("prompt")
    if any(turn.content == prompt for turn in turns):  # UltraChat repeats the first question
        record.read.add("prompt")
    return turns


def _from_conversations(record: _Record) -> list[Turn]:
    key = "conversations" if "conversations" in record else "conversation"
    return record.messages(key)


def _from_preference(record: _Record) -> list[Turn]:
    """The chosen answer; the rejected one goes along in ``meta``."""
    prompt = _prompt_turns(record) if "prompt" in record else []
    chosen = _side(record, "chosen", prompt)
    rejected = _side(record, "rejected", prompt)
    if rejected and rejected[-1].role == "assistant":
        record.values = {**record.values, "rejected answer": rejected[-1].content}
    return chosen


def _side(record: _Record, key: str, prompt: list[Turn]) -> list[Turn]:
    value = record.values.get(key)
    if isinstance(value, list):
        turns = record.messages(key)
        return turns if turns[: len(prompt)] == prompt else [*prompt, *turns]
    text = record.take_text(key)
    if prompt:
        return [*prompt, Turn("assistant", text)]
    parts = _HUMAN_ASSISTANT.split(text)
    if len(parts) < 5:
        raise UnreadableRecord(f"its {key} has no question, and there is no prompt")
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return [Turn("user" if who == "Human" else "assistant", said) for who, said in pairs]


def _prompt_turns(record: _Record) -> list[Turn]:
    if isinstance(record.values.get("prompt"), list):
        return record.messages("prompt")
    return [Turn("user", record.take_text("prompt"))]


def _from_instruction(record: _Record) -> list[Turn]:
    """Alpaca, Dolly, and LLaMA-Factory's ``history``: earlier pairs of question and answer."""
    turns: list[Turn] = []
    history = record.take("history")
    if history is not None and not isinstance(history, list):
        raise UnreadableRecord("its history is not a list of pairs")
    for number, pair in enumerate(history or [], 1):
        match pair:
            case [str(question), str(answer)]:
                turns += [Turn("user", question), Turn("assistant", answer)]
            case _:
                raise UnreadableRecord(f"pair {number} of its history is not two texts")
    parts = [record.take_text("instruction"), record.take_optional("input", "context")]
    question = "\n\n".join(part for part in parts if part.strip())
    record.read.update(("input", "context") if not parts[1] else ())
    return [*turns, Turn("user", question), Turn("assistant", record.take_text(*_ANSWER_KEYS))]


def _from_prompt(record: _Record) -> list[Turn]:
    if record.values.get("label") is False:
        raise UnreadableRecord("its answer is marked as bad (label)")
    prompt = _prompt_turns(record)
    key = next((key for key in ("completion", *_ANSWER_KEYS) if key in record), "completion")
    if isinstance(record.values.get(key), list):
        return [*prompt, *record.messages(key)]
    return [*prompt, Turn("assistant", record.take_text(key))]


def _from_question(record: _Record) -> list[Turn]:
    key = "question" if "question" in record else "query"
    return [
        Turn("user", record.take_text(key)),
        Turn("assistant", record.take_text("answer", *_ANSWER_KEYS)),
    ]


def _from_ultrachat(record: _Record) -> list[Turn]:
    texts = record.take("data")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UnreadableRecord("its data is not a list of texts")
    return [Turn("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)]


def _from_input(record: _Record) -> list[Turn]:
    """The original Baize's transcript, or a question with ``output``."""
    if any(key in record for key in _ANSWER_KEYS):
        question = Turn("user", record.take_text("input"))
        return [question, Turn("assistant", record.take_text(*_ANSWER_KEYS))]
    transcript = record.take_text("input")
    turns = parse_transcript(transcript, str(record.values.get("topic") or ""))
    if not turns and "[" not in transcript:
        raise UnreadableRecord("its input is no transcript with [|Human|] and [|AI|] in it")
    return turns


_FORMATS: tuple[tuple[tuple[str, ...], Callable[[_Record], list[Turn]]], ...] = (
    (("messages",), _from_messages),
    (("conversations",), _from_conversations),
    (("conversation",), _from_conversations),
    (("chosen", "rejected"), _from_preference),
    (("instruction",), _from_instruction),
    (("prompt",), _from_prompt),
    (("question",), _from_question),
    (("query",), _from_question),
    (("data",), _from_ultrachat),
    (("input",), _from_input),
)
"""By the keys that identify a format; the more specific first."""


def _find_format(record: _Record) -> Callable[[_Record], list[Turn]]:
    for keys, parse in _FORMATS:
        if all(key in record for key in keys):
            return parse
    known = ", ".join(dict.fromkeys(key for keys, _ in _FORMATS for key in keys))
    present = ", ".join(clean_line(str(key), 40) for key in list(record.values)[:12])
    raise UnreadableRecord(
        f"it has none of the keys {known}, but {present or 'nothing'}: name them with --map"
    )

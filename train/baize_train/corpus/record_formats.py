"""The formats of records: which keys tell them apart, and how they become dialogues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from baize_shared.sanitizer import clean_line
from baize_train.corpus.baize_transcripts import parse_transcript
from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id
from baize_train.corpus.judged_answers import LABEL_KEYS, PAIR_KEYS, read_pair, refuse_bad_answer
from baize_train.corpus.messages import count_unread, parse_content, parse_messages
from baize_train.corpus.packed_turns import is_turn, unpack_turns
from baize_train.corpus.questions import take_question
from baize_train.corpus.record import Record
from baize_train.corpus.unreadable import UnreadableRecord
from baize_train.errors import TrainError

MAP_ROLES = (
    *("messages", "role", "content", "user", "assistant", "system"),
    *("topic", "source", "teacher", "id"),
)
"""What ``--map ROLE=FIELD`` can name."""
FieldMap = Mapping[str, str]
"""Fields of a record by their roles."""
_ANSWER_KEYS = ("output", "response", "answer", "completion", "generation")
"""The last one is distilabel's."""
_NOT_TEXT = {
    **dict.fromkeys(("tools", "functions"), "tools"),
    **dict.fromkeys(("images", "image"), "images"),
    **dict.fromkeys(("videos", "video"), "videos"),
    **dict.fromkeys(("audios", "audio"), "sound"),
}
"""What there is in a record under these keys of LLaMA-Factory, ms-swift, LLaVA and TRL."""
_EMPTY_CELLS = ("", "[]", "{}", "null", "None")
"""What columns of other rows have as text, such as the ``tools`` of a Hugging Face dataset."""
_SYSTEM_KEYS = ("system", "system_prompt")


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
    if isinstance(record, list) and record and all(map(is_turn, record)):
        record = {"messages": record}  # a dialogue and nothing around it
    if not isinstance(record, dict):
        raise UnreadableRecord(f"a {type(record).__name__}, not an object")
    read = Record(unpack_turns(record), unread)
    if not set(LABEL_KEYS) & set(fields.values()):
        refuse_bad_answer(read)
    turns = _mapped_turns(read, fields) if {"messages", "user"} & fields.keys() else None
    if turns is None:
        turns = _find_format(read)(read)
    _refuse_what_is_not_text(read)
    turns = _with_system(turns, _system_text(read, fields))
    meta = dict(read.take("meta")) if isinstance(record.get("meta"), dict) else {}
    if teacher := _label(read, fields, "teacher"):
        meta.setdefault("teacher", teacher)
    if read.rejected is not None:
        meta["rejected_answer"] = read.rejected
    given_id = read.take(fields.get("id", "id"))
    dialogue = Dialogue(
        messages=turns,
        id=dialogue_id(turns) if given_id in (None, "") else str(given_id),
        source=_label(read, fields, "source") or clean_line(source),
        topic=_label(read, fields, "topic"),
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


def _field(record: Record, fields: FieldMap, role: str, *keys: str) -> str:
    if role in fields:
        field = fields[role]
        is_null = field in record.values and field not in record
        return "" if is_null else record.take_text(field)
    return record.take_optional(*keys)


def _system_text(record: Record, fields: FieldMap) -> str:
    """The system prompt, which Anthropic and Bedrock have in parts."""
    for key in [fields["system"]] if "system" in fields else _SYSTEM_KEYS:
        if isinstance(record.values.get(key), list | dict) and record.has_value(key):
            return parse_content(record.take(key), f"its {key}")
    return _field(record, fields, "system", *_SYSTEM_KEYS)


def _label(record: Record, fields: FieldMap, role: str) -> str:
    """Where a dialogue comes from: a text, or a number of something."""
    key = fields.get(role, role)
    value = record.values.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        record.read.add(key)
        return str(value)
    return _field(record, fields, role, role)


def _mapped_turns(record: Record, fields: FieldMap) -> list[Turn]:
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
        if turns[0].content.strip() != system.strip():
            raise UnreadableRecord("it has two different system texts")
        return turns
    return [Turn("system", system), *turns]


def _refuse_what_is_not_text(record: Record) -> None:
    for key, what in _NOT_TEXT.items():
        value = record.values.get(key)
        if isinstance(value, dict):  # a file of a Hugging Face dataset
            value = any(part is not None for part in value.values())
        if isinstance(value, str):
            value = "".join(value.split()) not in _EMPTY_CELLS
        if value:
            raise UnreadableRecord(f"it has {what} ({key}), which cannot be trained")


# --- the formats ----------------------------------------------------------------------------------


def _from_messages(record: Record) -> list[Turn]:
    turns = record.messages("messages")
    prompt = record.values.get("prompt")
    if any(turn.content == prompt for turn in turns):  # UltraChat repeats the first question
        record.read.add("prompt")
    return _with_answer(record, turns)


def _from_conversations(record: Record) -> list[Turn]:
    key = "conversations" if "conversations" in record else "conversation"
    return _with_answer(record, record.messages(key))


def _with_answer(record: Record, turns: list[Turn]) -> list[Turn]:
    """``turns`` with the answer that a log has under a key of its own, as a request has none."""
    if not turns or turns[-1].role != "user":
        return turns
    answer = record.take_optional(*_ANSWER_KEYS)
    return [*turns, Turn("assistant", answer)] if answer else turns


def _from_pair(keys: tuple[str, str]) -> Callable[[Record], list[Turn]]:
    return lambda record: read_pair(record, *keys)


def _from_question(key: str, *answers: str) -> Callable[[Record], list[Turn]]:
    """A question under ``key``, and its answer under the first of ``answers`` that there is."""

    def read(record: Record) -> list[Turn]:
        question = take_question(record, key)
        answer = next((answer for answer in answers if answer in record), answers[0])
        value = record.values.get(answer)
        if _is_list_of_records(value) or is_turn(value):
            return [*question, *record.messages(answer)]
        if not any(answer in record.values for answer in answers):
            present = ", ".join(clean_line(str(key), 40) for key in list(record.values)[:12])
            raise UnreadableRecord(
                f"it has no {' or '.join(dict.fromkeys(answers))}, but {present}: name its answer "
                f"with --map user={key} --map assistant=FIELD"
            )
        return [*question, Turn("assistant", record.take_text(*answers))]

    return read


def _from_ultrachat(record: Record) -> list[Turn]:
    texts = record.take("data")
    if _is_list_of_records(texts):
        raise UnreadableRecord(_unknown_format(record))
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UnreadableRecord("its data is not a list of texts")
    return [Turn("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)]


def _from_input(record: Record) -> list[Turn]:
    """The original Baize's transcript, or a question with its answer."""
    if any(key in record for key in _ANSWER_KEYS):
        return _from_question("input", *_ANSWER_KEYS)(record)
    transcript = record.take_text("input")
    turns = parse_transcript(transcript, str(record.values.get("topic") or ""))
    if not turns and "[" not in transcript:
        raise UnreadableRecord("its input is no transcript with [|Human|] and [|AI|] in it")
    return turns


_FORMATS: tuple[tuple[tuple[str, ...], Callable[[Record], list[Turn]]], ...] = (
    *((keys, _from_pair(keys)) for keys in PAIR_KEYS),
    (("messages",), _from_messages),
    (("conversations",), _from_conversations),
    (("conversation",), _from_conversations),
    (("instruction",), _from_question("instruction", *_ANSWER_KEYS)),
    (("prompt",), _from_question("prompt", "completion", *_ANSWER_KEYS)),
    (("question",), _from_question("question", "answer", *_ANSWER_KEYS)),
    (("query",), _from_question("query", "answer", *_ANSWER_KEYS)),
    (("data",), _from_ultrachat),
    (("input",), _from_input),
)
"""By the keys that identify a format; the more specific first."""


def _find_format(record: Record) -> Callable[[Record], list[Turn]]:
    for better, worse in PAIR_KEYS:
        if better in record and worse in record.values and worse not in record:
            raise UnreadableRecord(f"its {worse} is null")
    for present in (record, record.values):  # a key without a value identifies a format last
        for keys, parse in _FORMATS:
            if all(key in present for key in keys):
                return parse
    raise UnreadableRecord(_unknown_format(record))


def _unknown_format(record: Record) -> str:
    """Why a record is of no known format, and what to do."""
    if {"mapping", "chat_messages"} & record.values.keys():
        return (
            "an export of ChatGPT or Claude: add it with 'baize-tui sessions import', then write "
            "a corpus with 'baize-tui sessions export'"
        )
    if is_turn(record.values):
        return "a single turn: put the turns of each dialogue into one list"
    for key, value in record.values.items():
        name = clean_line(str(key), 40)
        if _is_list_of_records(value) and any(map(is_turn, value)):
            return f"its {name} is a list of turns: name it with --map messages={name}"
        if _is_list_of_records(value):
            return (
                f"its {name} is a list of {len(value):,} records: save that list as a file of its "
                "own"
            )
    known = ", ".join(dict.fromkeys(key for keys, _ in _FORMATS for key in keys))
    present = ", ".join(clean_line(str(key), 40) for key in list(record.values)[:12])
    return f"it has none of the keys {known}, but {present or 'nothing'}: name them with --map"


def _is_list_of_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)

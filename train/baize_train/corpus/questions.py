"""What is asked in a record that has its question and its answers under different keys."""

from __future__ import annotations

import re
from collections.abc import Callable

from baize_train.corpus.dialogues import Turn
from baize_train.corpus.packed_turns import unpack
from baize_train.corpus.record import Record
from baize_train.corpus.unreadable import UnreadableRecord

_HUMAN_ASSISTANT = re.compile(r"\n\n(Human|Assistant): ?")


def take_question(record: Record, key: str) -> list[Turn]:
    """The turns up to the question under ``key``, one of ``QUESTION_KEYS``.

    Raises:
        UnreadableRecord: it is not one.
    """
    return [*_earlier_turns(record), *_QUESTIONS[key](record, key)]


def read_transcript(text: str) -> list[Turn]:
    """The turns of a text in which ``Human:`` and ``Assistant:`` speak, as in HH-RLHF; empty if it
    is another one."""
    before, *parts = _HUMAN_ASSISTANT.split(text)
    if before.strip():
        return []
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [Turn("user" if who == "Human" else "assistant", said) for who, said in pairs]


def _earlier_turns(record: Record) -> list[Turn]:
    """The turns in the ``history`` of LLaMA-Factory and ms-swift: pairs of question and answer."""
    history = record.take("history")
    if isinstance(history, str):  # in a cell of a table
        history = unpack(history) if history.strip() else None
        if history is None and record.has_value("history"):
            raise UnreadableRecord("its history is a text that is not JSON")
    if history is not None and not isinstance(history, list):
        raise UnreadableRecord("its history is not a list of pairs")
    if history and isinstance(history[0], dict):
        return record.messages("history")
    turns: list[Turn] = []
    for number, pair in enumerate(history or [], 1):
        match pair:
            case [str(question), str(answer)]:
                turns += [Turn("user", question), Turn("assistant", answer)]
            case _:
                raise UnreadableRecord(f"pair {number} of its history is not two texts")
    return turns


def _instruction(record: Record, key: str) -> list[Turn]:
    """Alpaca's instruction with its input, Dolly's with its context."""
    parts = [record.take_text(key)]
    # A number or a list is part of the question too: refused rather than left out.
    if (more := next(filter(record.has_value, ("input", "context")), None)) is not None:
        parts.append(record.take_text(more))
    else:
        record.read.update(("input", "context"))
    return [Turn("user", "\n\n".join(part for part in parts if part.strip()))]


def _prompt(record: Record, key: str) -> list[Turn]:
    if isinstance(record.values.get(key), list | dict):
        return record.messages(key)
    text = record.take_text(key)
    turns = read_transcript(text)
    if turns and turns[-1] == Turn("assistant", ""):  # the answer follows under another key
        return turns[:-1]
    return [Turn("user", text)]


def _text(record: Record, key: str) -> list[Turn]:
    return [Turn("user", record.take_text(key))]


_QUESTIONS: dict[str, Callable[[Record, str], list[Turn]]] = {
    "instruction": _instruction,
    "prompt": _prompt,
    "question": _text,
    "query": _text,
    "input": _text,
}
QUESTION_KEYS = tuple(_QUESTIONS)
"""Keys of a question; if a record has several of them, the first counts."""

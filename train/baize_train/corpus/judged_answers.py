"""Answers that somebody judged: pairs of a better and a worse one, and single ones with a label."""

from __future__ import annotations

from typing import Any

from baize_shared.sanitizer import clean_line
from baize_train.corpus.dialogues import Turn
from baize_train.corpus.messages import parse_messages
from baize_train.corpus.questions import QUESTION_KEYS, read_transcript, take_question
from baize_train.corpus.record import Record
from baize_train.corpus.unreadable import UnreadableRecord

PAIR_KEYS = (("chosen", "rejected"), ("preferred_output", "non_preferred_output"))
"""The better and the worse answer: TRL's and LLaMA-Factory's names, and OpenAI's."""
LABEL_KEYS = ("label", "kto_tag")
"""TRL's and LLaMA-Factory's names for whether an answer is good."""
_LABELS = {
    **dict.fromkeys(("true", "1", "1.0", "good", "desirable", "chosen"), True),
    **dict.fromkeys(("false", "0", "0.0", "bad", "undesirable", "rejected"), False),
}
"""Tables write them as numbers or as texts."""
_CONVERSATION_KEYS = ("messages", "conversations", "conversation")


def is_pair(record: Any) -> bool:
    """Whether a record has a better and a worse answer."""
    return isinstance(record, dict) and any(
        all(record.get(key) is not None for key in keys) for keys in PAIR_KEYS
    )


def read_label(record: Any) -> bool | None:
    """Whether the answer in a record is marked as good or as bad; None if it is not marked."""
    if not isinstance(record, dict):
        return None
    label = next((record[key] for key in LABEL_KEYS if record.get(key) is not None), None)
    return _LABELS.get(str(label).strip().lower())


def refuse_bad_answer(record: Record) -> None:
    """Raises:
    UnreadableRecord: somebody marked its answer as bad.
    """
    if is_pair(record.values):
        return  # its keys say which answer is good
    label = read_label(record.values)
    if label is False:
        key = next(key for key in LABEL_KEYS if key in record)
        value = clean_line(str(record.values[key]), 20)
        raise UnreadableRecord(f"its answer is marked as bad ({key} {value})")
    if label:
        record.read.update(LABEL_KEYS)


def read_pair(record: Record, better: str, worse: str) -> list[Turn]:
    """The dialogue with the better answer; the worse one is kept in ``record.rejected``.

    Raises:
        UnreadableRecord: there is no question, or the answers are to different ones.
    """
    question = _question_of_pair(record)
    chosen = _answered(record, better, question)
    rejected = _answered(record, worse, question)
    for key in _CONVERSATION_KEYS:  # UltraFeedback repeats the better dialogue
        if key in record and key not in record.read and record.messages(key) != chosen:
            record.read.discard(key)
    if not rejected or rejected[-1].role != "assistant":
        raise UnreadableRecord(f"its {worse} ends without an answer")
    if _texts(rejected[:-1]) != _texts(chosen[:-1]):
        raise UnreadableRecord(f"its {better} and {worse} answers are to different questions")
    record.rejected = rejected[-1].content
    return chosen


def _question_of_pair(record: Record) -> list[Turn]:
    """What both answers follow; empty if each of them has the question with it."""
    if "prompt" in record:
        return take_question(record, "prompt")
    for key in _CONVERSATION_KEYS:
        if key in record:
            turns = record.messages(key)
            while turns and turns[-1].role == "assistant":
                turns.pop()
            return turns
    if isinstance(given := record.values.get("input"), dict):  # OpenAI's
        if given.get("tools"):
            raise UnreadableRecord("it has tools (input), which cannot be trained")
        return parse_messages(record.take("input").get("messages"), record.unread)
    asked = next((key for key in QUESTION_KEYS if key in record), None)
    return take_question(record, asked) if asked else []


def _answered(record: Record, key: str, question: list[Turn]) -> list[Turn]:
    """The whole dialogue with the answer under ``key``, which may have the question with it."""
    value = record.values.get(key)
    if isinstance(value, dict | list):
        record.read.add(key)
        turns = parse_messages([value] if isinstance(value, dict) else value, record.unread)
        return turns if set(_texts(question)) <= set(_texts(turns)) else [*question, *turns]
    text = record.take_text(key)
    if question:
        return [*question, Turn("assistant", text)]
    turns = read_transcript(text)
    if len(turns) < 2:
        raise UnreadableRecord(f"its {key} has no question, and there is no prompt")
    return turns


def _texts(turns: list[Turn]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content.strip()) for turn in turns]

"""The person's marks, edits and regenerations as training data, when they ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from baize_tui.store.records import Message, MessageRole

DialogueRole = Literal["system"] | MessageRole
PreferenceSource = Literal["marks", "edit", "regenerated"]


class DialogueTurn(Struct, frozen=True):
    role: DialogueRole
    content: str


class Example(Struct, frozen=True):
    """A dialogue that ends in an answer marked as good, in TRL's conversational format."""

    messages: list[DialogueTurn]
    id: str
    source: str = "baize-tui"


class PreferencePair(Struct, frozen=True):
    """Two answers to one question, the better one first, in TRL's preference format."""

    prompt: list[DialogueTurn]
    chosen: list[DialogueTurn]
    rejected: list[DialogueTurn]
    why: PreferenceSource
    """How the preference is known: from marks, from the person's own version, or because the
    conversation continues after one of the answers."""


class MarkedAnswer(Struct, frozen=True):
    """An answer marked as good or bad, in TRL's unpaired preference format."""

    prompt: list[DialogueTurn]
    completion: list[DialogueTurn]
    label: bool
    """Whether it is good."""


def good_dialogues(tree: Sequence[Message], system: str) -> Iterator[Example]:
    """The branches of ``tree``, all messages of a conversation, that end in an answer marked as
    good.

    Without branches that contain an answer that was marked as bad, failed, or was stopped.
    """
    by_id = {message.id: message for message in tree}
    good = [message for message in tree if message.mark == "good"]
    above_good = {above.id for message in good for above in _path(message, by_id)[:-1]}
    for message in good:
        path = _path(message, by_id)
        answers = [above for above in path if above.role == "assistant"]
        if message.id in above_good or not all(_is_complete(answer) for answer in answers):
            continue
        if any(answer.mark == "bad" for answer in answers):
            continue
        yield Example(_turns(path, system), f"{message.conversation_id}-{message.id}")


def preference_pairs(tree: Sequence[Message], system: str) -> Iterator[PreferencePair]:
    """Which of the answers to the same question the person preferred."""
    by_id = {message.id: message for message in tree}
    continued = {message.parent_id for message in tree if message.role == "user"}
    siblings: dict[int | None, list[Message]] = {}
    for message in tree:
        if message.role == "assistant" and _is_complete(message):
            siblings.setdefault(message.parent_id, []).append(message)
    for answers in siblings.values():
        for chosen, rejected, why in _preferences(answers, continued):
            question = _path(chosen, by_id)[:-1]
            yield PreferencePair(_turns(question, system), _answer(chosen), _answer(rejected), why)


def marked_answers(tree: Sequence[Message], system: str) -> Iterator[MarkedAnswer]:
    """Every answer in ``tree`` that the person marked, with what it answers."""
    by_id = {message.id: message for message in tree}
    for message in tree:
        if message.role == "assistant" and message.mark is not None and _is_complete(message):
            question = _path(message, by_id)[:-1]
            yield MarkedAnswer(_turns(question, system), _answer(message), message.mark == "good")


def _preferences(
    answers: Sequence[Message], continued: set[int | None]
) -> Iterator[tuple[Message, Message, PreferenceSource]]:
    good = [answer for answer in answers if answer.mark == "good"]
    bad = [answer for answer in answers if answer.mark == "bad"]
    if good and bad:
        yield from ((better, worse, "marks") for better in good for worse in bad)
        return
    written = [a for a in answers if a.provenance is None and a.mark != "bad"]
    generated = [a for a in answers if a.provenance is not None and a.mark != "good"]
    if written and generated:
        yield from ((written[-1], worse, "edit") for worse in generated)
        return
    kept = [a for a in answers if a.id in continued and a.mark != "bad"]
    if len(kept) == 1:
        others = (a for a in answers if a is not kept[0] and a.mark != "good")
        yield from ((kept[0], other, "regenerated") for other in others)


def _is_complete(message: Message) -> bool:
    return message.state == "complete" and bool(message.text.strip())


def _path(message: Message, by_id: dict[int, Message]) -> list[Message]:
    path = [message]
    while (parent := path[-1].parent_id) is not None and parent in by_id:
        path.append(by_id[parent])
    return path[::-1]


def _turns(path: Sequence[Message], system: str) -> list[DialogueTurn]:
    first = [DialogueTurn("system", system)] if system.strip() else []
    return [*first, *(DialogueTurn(message.role, message.text.strip()) for message in path)]


def _answer(message: Message) -> list[DialogueTurn]:
    return [DialogueTurn("assistant", message.text.strip())]

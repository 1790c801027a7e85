"""What a person thought of answers, as data to train on: only where they ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from baize_tui.store.records import Message

Why = Literal["marks", "edit", "regenerated"]


class Said(Struct, frozen=True):
    role: str
    content: str


class Example(Struct, frozen=True):
    """A dialogue that ends in an answer the person marked as good; the form is TRL's."""

    messages: list[Said]
    id: str
    source: str = "baize-tui"


class Pair(Struct, frozen=True):
    """Two answers to the same, the better one first; the form is TRL's for preferences."""

    prompt: list[Said]
    chosen: list[Said]
    rejected: list[Said]
    why: Why
    """How it is known: by marks, by what the person wrote instead, or as the conversation went on
    from one of two."""


def good_dialogues(tree: Sequence[Message], system: str) -> Iterator[Example]:
    """Of a conversation's whole ``tree`` the branches down to each last answer marked as good.

    None with an answer in it that was marked as bad, failed, or was stopped.
    """
    by_id = {message.id: message for message in tree}
    good = [message for message in tree if message.mark == "good"]
    inside = {above.id for message in good for above in _path(message, by_id)[:-1]}
    for message in good:
        path = _path(message, by_id)
        answers = [one for one in path if one.role == "assistant"]
        if message.id in inside or not all(_is_whole(one) for one in answers):
            continue
        if any(one.mark == "bad" for one in answers):
            continue
        yield Example(_said(path, system), f"{message.conversation_id}-{message.id}")


def pairs(tree: Sequence[Message], system: str) -> Iterator[Pair]:
    """Of answers to the same question, which one the person preferred."""
    by_id = {message.id: message for message in tree}
    went_on = {message.parent_id for message in tree if message.role == "user"}
    siblings: dict[int | None, list[Message]] = {}
    for message in tree:
        if message.role == "assistant" and _is_whole(message):
            siblings.setdefault(message.parent_id, []).append(message)
    for answers in siblings.values():
        for chosen, rejected, why in _preferences(answers, went_on):
            asked = _path(chosen, by_id)[:-1]
            yield Pair(_said(asked, system), _answer(chosen), _answer(rejected), why)


def _preferences(
    answers: Sequence[Message], went_on: set[int | None]
) -> Iterator[tuple[Message, Message, Why]]:
    good = [one for one in answers if one.mark == "good"]
    bad = [one for one in answers if one.mark == "bad"]
    if good and bad:
        yield from ((better, worse, "marks") for better in good for worse in bad)
        return
    written = [one for one in answers if one.provenance is None and one.mark != "bad"]
    made = [one for one in answers if one.provenance is not None and one.mark != "good"]
    if written and made:
        yield from ((written[-1], worse, "edit") for worse in made)
        return
    kept = [one for one in answers if one.id in went_on and one.mark != "bad"]
    if len(kept) == 1:
        others = (one for one in answers if one is not kept[0] and one.mark != "good")
        yield from ((kept[0], other, "regenerated") for other in others)


def _is_whole(message: Message) -> bool:
    return message.state == "complete" and bool(message.text.strip())


def _path(message: Message, by_id: dict[int, Message]) -> list[Message]:
    path = [message]
    while (parent := path[-1].parent_id) is not None and parent in by_id:
        path.append(by_id[parent])
    return path[::-1]


def _said(path: Sequence[Message], system: str) -> list[Said]:
    told = [Said("system", system)] if system.strip() else []
    return [*told, *(Said(one.role, one.text.strip()) for one in path)]


def _answer(message: Message) -> list[Said]:
    return [Said("assistant", message.text.strip())]

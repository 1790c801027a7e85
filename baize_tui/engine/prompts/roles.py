"""Turns in the order that a template accepts, with every text of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from baize_tui.engine.protocol import PromptMessage, Role

_GREETING = "Hello."
"""The question before an answer that has none, for templates that want the person to begin."""


def shapes(messages: Sequence[PromptMessage]) -> Iterator[list[PromptMessage]]:
    """Ways to write ``messages`` as turns: the first is closest to them, the later ones are for
    templates that refuse it or ignore a part of it."""
    tidy = _join(_without_empty(messages), ("user",))
    yield tidy
    alternating = _join(tidy, ("user", "assistant"))
    seen = [tidy]
    for shape in (
        _join(_with_system_in_questions(tidy), ("user",)),
        _with_question_first(alternating),
        _with_question_first(_join(_with_system_in_questions(tidy), ("user", "assistant"))),
    ):
        if shape not in seen:
            seen.append(shape)
            yield shape


def _without_empty(messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    """``messages`` without blank ones, such as answers that were stopped before the first word."""
    last = len(messages) - 1
    return [
        message
        for i, message in enumerate(messages)
        if message.content.strip() or (i == last and message.role == "user")
    ]


def _join(messages: Sequence[PromptMessage], roles: Sequence[Role]) -> list[PromptMessage]:
    """``messages`` with successive turns of one of ``roles`` as a single turn: an answer between
    them was deleted, or failed."""
    joined: list[PromptMessage] = []
    for message in messages:
        if joined and message.role in roles and joined[-1].role == message.role:
            texts = [text for text in (joined[-1].content, message.content) if text.strip()]
            joined[-1] = PromptMessage(message.role, "\n\n".join(texts))
        else:
            joined.append(message)
    return joined


def _with_system_in_questions(messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    """``messages`` without system turns: their text stands in front of the next question."""
    result: list[PromptMessage] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message.content)
        elif message.role == "user" and waiting:
            result.append(PromptMessage("user", "\n\n".join([*waiting, message.content])))
            waiting = []
        else:
            result.append(message)
    if waiting:
        result.append(PromptMessage("user", "\n\n".join(waiting)))
    return result


def _with_question_first(messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    """``messages`` with a greeting of the person before an answer that no question precedes."""
    first = next((i for i, message in enumerate(messages) if message.role != "system"), 0)
    if not messages or messages[first].role != "assistant":
        return list(messages)
    return [*messages[:first], PromptMessage("user", _GREETING), *messages[first:]]

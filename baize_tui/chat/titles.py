"""Titles of conversations: the first line, until the model or the person gives a better one."""

from __future__ import annotations

from collections.abc import Sequence

from baize_shared.sanitizer import clean_line
from baize_tui.engine.protocol import Generate, Prompt, PromptMessage
from baize_tui.settings import Sampling
from baize_tui.store.conversations import NEW_TITLE
from baize_tui.store.records import Message

TITLE_LENGTH = 60
_TOKENS = 24
_QUOTED = 400
"""Characters of each message that the model reads for a title."""
_MESSAGES = 4
_ASKED = "Write a title of at most six words for the conversation above. Only the title, no quotes."


def title_from(text: str) -> str:
    """A title for a conversation: the first line that says something."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return clean_line(first.lstrip("#>*- "), TITLE_LENGTH) or NEW_TITLE


def title_request(messages: Sequence[Message], template: str | None, stop: list[str]) -> Generate:
    """Asks the model for a title of the conversation that begins with ``messages``."""
    begin = [
        PromptMessage(message.role, message.text.strip()[:_QUOTED])
        for message in messages[:_MESSAGES]
        if message.text.strip()
    ]
    if begin and begin[-1].role == "user":
        begin.pop()
    return Generate(
        request=0,
        prompt=Prompt(messages=[*begin, PromptMessage("user", _ASKED)], template=template),
        sampling=Sampling(temperature=0, repeat_penalty=1.1),
        max_tokens=_TOKENS,
        stop=[*stop, "\n"],
        trim_at_stop=True,
    )


def title_of_answer(text: str) -> str:
    """The title in what a model answered; empty where there is none."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = line.strip().removeprefix("Title:").strip(" \t\"'“”«»*#.`")
    return clean_line(line, TITLE_LENGTH)

"""Titles of conversations: a line of the question, until the model or the person changes it."""

from __future__ import annotations

from collections.abc import Sequence

from baize_shared.sanitizer import clean_line
from baize_tui.engine.protocol import Generate, Prompt, PromptMessage
from baize_tui.settings import Sampling
from baize_tui.store.conversations import NEW_TITLE
from baize_tui.store.records import Message

_LENGTH = 60
_LONG_LINES, _LONG_CHARACTERS = 20, 2000
"""From this size on, most of a question is probably pasted."""
_QUESTION_LINES = 3
"""A paragraph above or below a pasted text that has no more lines is the question."""
_MAX_TOKENS = 24
_QUOTED_CHARACTERS = 400
"""Characters of each message that the model reads for a title."""
_MESSAGES = 4
"""How many messages the model reads for a title."""
_INSTRUCTION = (
    "Write a title of at most six words for the conversation above. Only the title, no quotes."
)


def title_from_question(text: str) -> str:
    """A title for the conversation that begins with ``text``: its first line that is not blank.

    A long text is mostly pasted. Then it is the first line of a short last paragraph, else of a
    short first paragraph, else the last line.
    """
    lines = [line.strip() for line in text.strip().splitlines()]
    title = lines[0] if lines else ""
    if len(lines) >= _LONG_LINES or len(text) > _LONG_CHARACTERS:
        end, begin = lines[-_QUESTION_LINES - 1 :], lines[: _QUESTION_LINES + 1]
        if "" in end:
            title = end[len(end) - end[::-1].index("")]
        elif "" not in begin:
            title = lines[-1]
    return clean_line(title.lstrip("#>*- "), _LENGTH) or NEW_TITLE


def title_request(messages: Sequence[Message], template: str | None, stop: list[str]) -> Generate:
    """A request for a title of the conversation that begins with ``messages``."""
    turns = [
        PromptMessage(message.role, message.text.strip()[:_QUOTED_CHARACTERS])
        for message in messages[:_MESSAGES]
        if message.text.strip()
    ]
    if turns and turns[-1].role == "user":
        turns.pop()
    return Generate(
        request=0,
        prompt=Prompt(
            messages=[*turns, PromptMessage("user", _INSTRUCTION)], template=template, think=False
        ),
        sampling=Sampling(temperature=0, repeat_penalty=1.1),
        max_tokens=_MAX_TOKENS,
        max_thinking_tokens=0,
        stop=stop,  # not at a line end, which can also end the markup of a thought
        trim_at_stop=True,
    )


def parse_title(text: str) -> str:
    """The title in a model's answer ``text``; empty if it has none."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = line.strip().removeprefix("Title:").strip(" \t\"'“”«»*#.`")
    return clean_line(line, _LENGTH)

"""Titles of conversations: a line of the question, until the model or the person changes it."""

from __future__ import annotations

import re

from baize_shared.sanitizer import REPLACEMENT, clean_line

_LENGTH = 60
_LONG_LINES, _LONG_CHARACTERS = 20, 2000
"""From this size on, most of a question is probably pasted."""
_QUESTION_LINES = 3
"""A paragraph above or below a pasted text that has no more lines is the question."""

INSTRUCTION = "Write only a title of at most six words for this conversation, in its language."
"""What the model is asked, as if it were the person's next question."""
MAX_TOKENS = 32
"""Enough for six words in most scripts. With the instruction, they are fewer tokens than are saved
before they leave the cache (``kv_snapshots``)."""

# A token may be a part of a character, and is refused if any character that it may become is. So
# nothing is excluded from blocks with letters: of U+3000 and U+F000, quotes are removed afterwards.
_CONTROLS = r"\x00-\x1F\x7F-\x9F\u2028-\u202E\u2066-\u2069\U000E0000-\U000E007F"
_MARKUP = r"#*<>\x5B\x5C\x5D\x5E_`{|}~"
_QUOTES = r"\x22\u00AB\u00BB\u2018\u201A-\u201F\u2039\u203A"
_SIGNS = r"\x20-\x2F\x3A-\x40\u00A0-\u00BF\u2000-\u206F"
"""Spaces and punctuation, with which no title begins."""
GRAMMAR = rf"""root ::= " "? first rest{{0,{_LENGTH - 1}}} "\n"?
first ::= [^{_CONTROLS}{_MARKUP}{_QUOTES}{_SIGNS}]
rest ::= [^{_CONTROLS}{_MARKUP}{_QUOTES}]
"""
"""One short line in any script, without markup and quotes. SentencePiece begins it with a space,
and models that end with a stop string write a line end before that."""
_ABOUT_THE_TASK = re.compile(
    r"(?:here(?:'s| is| are)|sure|certainly|of course)\b|以下是|当然|好的[，,]"
    r"|.*(?:\btitles?\b|标题)",
    re.IGNORECASE,
)
"""How small models begin when they speak of the task instead of doing it."""
_AROUND = ("「」", "『』", "〝〟", "＂＂")
"""Quotes around a whole title; inside of it, they belong to it."""


def title_from_question(text: str) -> str:
    """A title for the conversation that begins with ``text``: its first line that is not blank;
    empty if there is none.

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
    return clean_line(title.lstrip("#>*- "), _LENGTH)


def parse_title(text: str, *, complete: bool = True, shorten: bool = False) -> str:
    """The title in a model's answer ``text``; empty if it has none.

    What is not ``complete``, or as long as a title may be, is probably the beginning of a sentence:
    no title, or with ``shorten`` its whole words.
    """
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    title = line.removeprefix("Title:").rstrip(REPLACEMENT)  # half a character
    title = clean_line(title.strip(" \t\"'“”«»*#.`,:;。"), _LENGTH)
    if title[:1] + title[-1:] in _AROUND:
        title = title[1:-1].strip()
    if not complete or len(line) >= _LENGTH:
        title = (title.rpartition(" ")[0] or title) if shorten else ""
    says_nothing = not any(character.isalnum() for character in title)
    repeats = title.casefold() in INSTRUCTION.casefold()
    return "" if says_nothing or repeats or _ABOUT_THE_TASK.match(title) else title

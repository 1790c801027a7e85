"""What the formats for people say about a conversation and its messages."""

from __future__ import annotations

import datetime
import re
from functools import cache
from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING

from baize_shared.counts import count_text
from baize_shared.sanitizer import clean_line
from baize_tui.store.records import Conversation, Message, Paste

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_LONGEST_NAME = 60
"""Characters of the title in the name of a file."""
_MOST_BYTES = 180
"""Bytes of them: file systems allow 255 for the whole name."""
_BELOW = "below"
_HTML_ENDS = {"<!--": "-->", "<?": "?>", "<![cdata[": "]]>", "<!": ">"}
"""What ends an HTML block that does not end with an empty line, by its beginning."""


def iso_time(seconds: float) -> str:
    """``2026-11-29T05:36:54+00:00``, with fractions of a second if there are any."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def speaker(message: Message) -> str:
    """Who wrote ``message``: ``You``, or ``Model`` with its name, and how an answer ended."""
    state = "" if message.state == "complete" else f" ({message.state})"
    if message.role == "user":
        return f"You{state}"
    # The name of a model that was opened as a file is a path, which is nobody's business.
    model = PurePath(str((message.provenance or {}).get("model") or "")).name
    return f"Model · {model}{state}" if model else f"Model{state}"


def file_name(conversation: Conversation, suffix: str) -> str:
    """A name for a file with the conversation: from its title, and unique through its id."""
    words = re.findall(r"\w+", clean_line(conversation.title).lower())
    title = (
        "-".join(words)[:_LONGEST_NAME].encode()[:_MOST_BYTES].decode(errors="ignore").strip("-")
    )
    id = re.sub(r"\W", "", conversation.id)
    return f"{title or 'conversation'}-{id}{suffix}"


def file_title(file: Paste) -> str:
    """The name of an attached file with its tokens, as HTML."""
    tokens = f" ({count_text(file.tokens, 'token')})" if file.tokens else ""
    return escape(f"{file.name}{tokens}")


def is_json_answer(message: Message) -> bool:
    """Whether ``message`` was asked to be JSON."""
    form = (message.provenance or {}).get("form")
    return isinstance(form, dict) and form.get("kind") in ("json", "json_schema")


def fence_around(text: str) -> str:
    """A fence that is not in ``text``."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    return "`" * (longest + 1)


def close_block(text: str) -> str:
    """``text`` with its last code block or HTML block closed, which would take in all below it: an
    answer can stop inside one, and a question can begin with ``<!--``."""
    end = _end_of_block(text)
    return f"{text}\n{end}" if end else text


def _end_of_block(text: str) -> str:
    """What closes the block that ``text`` leaves open; empty for none.

    A block in a list or a quotation ends with that, so lines alone do not tell.
    """
    tokens = _block_parser().parse(f"{text}\n\n{_BELOW}")
    last = tokens[-1]
    if not last.content.rstrip("\n").endswith(_BELOW):
        return ""
    if last.type == "fence":
        return last.markup
    if last.type != "html_block":
        return ""
    begin = last.content.lstrip().lower()
    tag = re.match("<(script|pre|style|textarea)", begin)
    if tag is not None:
        return f"</{tag[1]}>"
    return next(end for start, end in _HTML_ENDS.items() if begin.startswith(start))


@cache
def _block_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # imported when used

    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser
